#include "setup/describe_run.h"

#include <torch/cuda.h>

#include <algorithm>
#include <vector>

#include "config/step_division.h"
#include "core/launcher.h"
#include "core/log.h"
#include "pipeline/layer_split.h"
#include "setup/memory_check.h"
#include "setup/memory_estimate.h"
#include "setup/model_parts.h"
#include "setup/model_positions.h"
#include "tensor/kit/memory_stats.h"
#include "tensor/pattern/training_pattern.h"

namespace lococo {
namespace {

/// One process of a run, as far as its memory goes.
struct Stage {
  LayerRange part;
  int64_t in_flight = 1, ranks = 1;  ///< as in TrainingLoad
  std::vector<RegisteredParameter> parameters;
  MemoryEstimate estimate;

  TrainingLoad load(const Config& config, const ModelShape& shape) const {
    return {config, shape, parameters, part, in_flight, ranks};
  }
};

/// Blocks of a sequence are many; whole sequences go by the micro-batches of a replica.
int64_t in_flight(const Config& config, int64_t depth, int64_t replicas) {
  if (is_blockwise(config)) return depth;
  return std::min(depth, micro_batches_of_rank(config.train, replicas));
}

/// The stage that needs the most memory of the run's `ranks` ranks.
Stage largest_stage(const Config& config, const ModelShape& shape, int64_t ranks) {
  const auto parts = stages_of(config, shape);
  const auto stages = static_cast<int64_t>(parts.size());
  Stage largest;
  for (int64_t i = 0; i < stages; ++i) {
    Stage stage;
    stage.part = parts[static_cast<size_t>(i)];
    stage.ranks = std::max<int64_t>(1, ranks / stages);
    stage.in_flight = in_flight(config, stages - i, stage.ranks);
    stage.parameters = describe_parameters(config, shape, stage.part);
    stage.estimate = estimate_memory(stage.load(config, shape));
    if (i == 0 || stage.estimate.total() > largest.estimate.total()) largest = std::move(stage);
  }
  return largest;
}

std::string warning_of(const Config& config, const ModelShape& shape, const Stage& stage,
                       torch::Device device) {
  return memory_warning(stage.load(config, shape), total_memory_bytes(device), device.str());
}

/// Of a dry run: how the layers are divided, and whose memory is estimated.
std::string describe_stages(const Config& config, const ModelShape& shape, const Stage& largest) {
  const auto parts = stages_of(config, shape);
  if (parts.size() == 1) return "";
  const auto at = std::find(parts.begin(), parts.end(), largest.part) - parts.begin();
  return "pipeline of " + std::to_string(parts.size()) +
         " stages: " + describe_split(parts, head_in_layers(shape, attended_tokens(config))) +
         "\nstage " + std::to_string(at) + " needs the most memory, with " +
         std::to_string(largest.in_flight) +
         (is_blockwise(config) ? " blocks in flight\n" : " micro-batches in flight\n");
}

/// Without a launcher --dry-run does not know how many ranks there will be.
std::string sharing_text(const Config& config, int64_t ranks) {
  if (!config.distributed.shard_optimizer) return "";
  if (ranks == 1)
    return "\ndistributed.shard_optimizer: N ranks need the N-th part of the optimizer's line each";
  return "\nthe optimizer's line is the part of one of " + std::to_string(ranks) + " ranks";
}

}  // namespace

std::string describe_run(const Config& config) {
  const auto shape = effective_shape(config);
  const int64_t ranks = launched_ranks();
  const Stage largest = largest_stage(config, shape, ranks);
  const bool on_gpu = config.distributed.device != "cpu" && torch::cuda::is_available();
  const torch::Device device = on_gpu ? torch::Device(torch::kCUDA, 0) : torch::Device(torch::kCPU);
  const std::string warning = warning_of(config, shape, largest, device);
  const bool whole = resolved_pass(config) == PassKind::kFullSequence;
  const std::string pattern =
      whole ? describe_pattern(config.attention, config.data.context_length, shape.num_heads) + "\n"
            : "";
  return summarise(describe_parameters(config, shape, all_layers(shape))) + "\n" +
         describe_rope(config) + "\n" + pattern + describe_stages(config, shape, largest) +
         largest.estimate.text() + sharing_text(config, largest.ranks) +
         (warning.empty() ? "" : "\nwarning: " + warning);
}

void warn_about_memory(const Config& config, torch::Device device) {
  const auto shape = effective_shape(config);
  const std::string warning =
      warning_of(config, shape, largest_stage(config, shape, launched_ranks()), device);
  if (!warning.empty()) log_warn(warning);
}

}  // namespace lococo
