#include "setup/model_setup.h"

#include <torch/cuda.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <set>

#include "config/step_division.h"
#include "core/error.h"
#include "core/launcher.h"
#include "core/log.h"
#include "dist/activity.h"
#include "model/parameter_kind.h"
#include "pipeline/layer_split.h"
#include "setup/memory_check.h"
#include "setup/memory_estimate.h"
#include "setup/model_positions.h"
#include "setup/slow_paths.h"
#include "tensor/kit/memory_stats.h"
#include "tensor/pattern/training_pattern.h"
#include "weights/checkpoint.h"
#include "weights/conv_weights.h"
#include "weights/fingerprint.h"
#include "weights/hf_weights.h"
#include "weights/lora_adapter.h"
#include "weights/lora_adapter_config.h"

namespace lococo {
namespace {

bool trains_lora(const Config& config) { return config.tune.lora.value_or(0.0) > 0; }

std::vector<RegisteredParameter> parameters_of_part(const LayerRange& part, const Config& config,
                                                    const ModelShape& shape) {
  const auto listed = list_parameters(shape, config.cache, lora_shape(config));
  return classify_parameters(parameters_of(part, listed), config.tune, config.train.weight_decay);
}

/// One process of a run, as far as its memory goes.
struct Stage {
  ModelLoad load;
  std::vector<RegisteredParameter> parameters;
  int64_t ranks = 1;  ///< that share the optimizer's state
  MemoryEstimate estimate;
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
    stage.ranks = std::max<int64_t>(1, ranks / stages);
    stage.load = {parts[static_cast<size_t>(i)], in_flight(config, stages - i, stage.ranks)};
    stage.parameters = parameters_of_part(stage.load.part, config, shape);
    stage.estimate = estimate_memory(config, shape, stage.parameters, stage.ranks, stage.load);
    if (i == 0 || stage.estimate.total() > largest.estimate.total()) largest = std::move(stage);
  }
  return largest;
}

std::string warning_of(const Config& config, const ModelShape& shape, const Stage& stage,
                       torch::Device device) {
  return memory_warning(config, shape, stage.parameters, total_memory_bytes(device), device.str(),
                        stage.ranks, stage.load);
}

/// Of a dry run: how the layers are divided, and whose memory is estimated.
std::string describe_stages(const Config& config, const ModelShape& shape, const Stage& largest) {
  const auto parts = stages_of(config, shape);
  if (parts.size() == 1) return "";
  const auto at = std::find(parts.begin(), parts.end(), largest.load.part) - parts.begin();
  return "pipeline of " + std::to_string(parts.size()) +
         " stages: " + describe_split(parts, head_in_layers(shape, attended_tokens(config))) +
         "\nstage " + std::to_string(at) + " needs the most memory, with " +
         std::to_string(largest.load.in_flight) +
         (is_blockwise(config) ? " blocks in flight\n" : " micro-batches in flight\n");
}

/// Random convolutions beside weights that mean something: a mistake, unless they are trained now.
void warn_about_random_convolutions(const Config& config) {
  const bool has_convs = config.cache.has_convs();
  const bool has_gates = config.cache.has_retention();
  const bool trained = config.tune.conv.value_or(0.0) > 0;
  const bool loaded = !config.model.adapter.empty() && has_conv_weights(config.model.adapter);
  if (has_gates && !loaded && config.tune.retention.value_or(0.0) == 0.0) {
    log_warn(
        "cache.policy retention without taught gates: what it keeps is random; give "
        "model.adapter, or tune.retention to teach them");
  }
  const bool begins = loaded && begins_mixing_from(config.model.adapter, config.cache);
  if (!has_convs || trained || (loaded && !begins) || config.model.path.empty()) return;
  log_warn(std::string(has_gates ? "cache.mixing conv" : "cache.policy lococo") +
           " without trained convolutions: its mixed slots are random; give "
           "model.adapter, or tune.conv to train them");
}

/// Places that the base was not trained at.
void warn_about_places(const Config& config, const ModelShape& shape) {
  const CacheConfig& cache = config.cache;
  const int64_t furthest = cache.position_cap + cache.block;
  const auto known = known_positions(config, shape);
  if (cache.positions == PositionKind::kSlot || !known || furthest <= *known) return;
  log_warn("cache.position_cap: with a block tokens stand up to " + std::to_string(furthest) +
           " places apart, the base has " + std::to_string(*known) +
           " positions, beyond which it fails; use " +
           std::to_string(std::max<int64_t>(0, *known - cache.block)) + " or less");
}

/// Gives every parameter its device and dtype. The base's values are still to come, so its memory
/// is not copied.
void place_parameters(Llama& model, const Config& config, torch::Device device) {
  torch::NoGradGuard no_grad;
  const auto frozen = scalar_type_of(config.model.dtype);
  model->quantise_projections(config.model.base_precision, device, config.tune.any());
  for (auto& parameter : classify_parameters(model, config.tune, /*weight_decay=*/0.0)) {
    if (parameter.tensor.is_meta()) continue;  // quantised
    const auto options =
        torch::dtype(keeps_float32(parameter) ? torch::kFloat32 : frozen).device(device);
    const bool initialised = parameter.group == ParameterGroup::kConv ||
                             parameter.group == ParameterGroup::kNormalizer ||
                             parameter.group == ParameterGroup::kRetention ||
                             parameter.group == ParameterGroup::kLora;
    parameter.tensor.set_data(initialised ? parameter.tensor.data().to(options)
                                          : torch::empty(parameter.tensor.sizes(), options));
  }
}

/// The fused kernels of a GPU read half precision only, and cuDNN runs nowhere else.
void check_backend(const Config& config, torch::Device device) {
  const auto backend = config.attention.backend;
  const bool fused_on_gpu = device.is_cuda() && (backend == AttentionBackend::kFlash ||
                                                 backend == AttentionBackend::kCudnn);
  if (backend == AttentionBackend::kCudnn && !device.is_cuda()) {
    throw UserError("attention.backend: cudnn needs a GPU, this run is on " + device.str() +
                    "; use auto");
  }
  if (fused_on_gpu && config.model.dtype != DType::kBFloat16) {
    throw UserError(
        "attention.backend: flash and cudnn on a GPU need model.dtype: bfloat16; use auto");
  }
  if (backend == AttentionBackend::kCudnn && config.train.deterministic) {
    throw UserError(
        "attention.backend: cudnn's backward pass gives other bits in every run; use auto or flash "
        "with train.deterministic");
  }
}

/// Without a launcher --dry-run does not know how many ranks there will be.
std::string sharing_text(const Config& config, int64_t ranks) {
  if (!config.distributed.shard_optimizer) return "";
  if (ranks == 1)
    return "\ndistributed.shard_optimizer: N ranks need the N-th part of the optimizer's line each";
  return "\nthe optimizer's line is the part of one of " + std::to_string(ranks) + " ranks";
}

}  // namespace

torch::ScalarType scalar_type_of(DType dtype) {
  return dtype == DType::kBFloat16 ? torch::kBFloat16 : torch::kFloat32;
}

LoraShape lora_shape(const Config& config) {
  const TuneConfig& tune = config.tune;
  const std::string& dir = config.model.adapter;
  AdapterConfig adapter;
  if (!dir.empty() && has_adapter(dir)) adapter = read_adapter_config(dir);
  if (adapter.targets.empty()) {
    if (!trains_lora(config)) return {};
    return {tune.lora_rank, tune.lora_targets};
  }
  if (trains_lora(config)) {
    const auto refuse = [&](const std::string& key) {
      throw UserError("tune." + key + ": differs from the LoRA of " + dir +
                      ", which goes on as it is; remove the key");
    };
    const std::set<std::string> here(tune.lora_targets.begin(), tune.lora_targets.end());
    if (tune.lora_rank != adapter.rank) refuse("lora_rank");
    if (std::abs(tune.lora_alpha - adapter.plain_alpha()) > 1e-9 * adapter.plain_alpha())
      refuse("lora_alpha");
    if (here != std::set<std::string>(adapter.targets.begin(), adapter.targets.end()))
      refuse("lora_targets");
  }
  return {adapter.rank, adapter.targets};
}

std::vector<RegisteredParameter> describe_parameters(const Config& config,
                                                     const ModelShape& shape) {
  return parameters_of_part(all_layers(shape), config, shape);
}

std::vector<LayerRange> stages_of(const Config& config, const ModelShape& shape) {
  const int64_t stages = config.distributed.pipeline;
  if (stages == 1) return {all_layers(shape)};
  if (stages > shape.num_layers) {
    throw UserError("distributed.pipeline: " + std::to_string(stages) +
                    " stages are more than the model's " + std::to_string(shape.num_layers) +
                    " layers; use fewer");
  }
  const bool trains_embedding =
      config.tune.embed.value_or(0.0) > 0 || config.tune.all.value_or(0.0) > 0;
  if (shape.tie_word_embeddings && trains_embedding) {
    throw UserError(
        "distributed.pipeline: this model's output layer is its embedding, which tune.embed and "
        "tune.all would train on the first stage and on the last; tune lora, norm or conv, or use "
        "distributed.pipeline=1");
  }
  const auto& layers = config.distributed.stage_layers;
  if (layers.empty())
    return split_layers(shape, stages, head_in_layers(shape, attended_tokens(config)));
  const int64_t given = std::accumulate(layers.begin(), layers.end(), int64_t{0});
  if (given != shape.num_layers) {
    throw UserError("distributed.stage_layers: are " + std::to_string(given) +
                    " together, and the model has " + std::to_string(shape.num_layers) + " layers");
  }
  return layer_ranges(shape, layers);
}

PreparedModel prepare_model(const Config& config, torch::Device device,
                            const std::optional<LayerRange>& given) {
  const Doing doing("loading the model");
  check_backend(config, device);
  const ModelShape shape = effective_shape(config);
  const LayerRange part = given.value_or(all_layers(shape));
  check_room_for_weights(config, parameters_of_part(part, config, shape), device);
  log_info(describe_rope(config));
  note_slow_paths(config, shape, device);
  PreparedModel prepared;
  prepared.model = Llama(shape, part, config.cache, config.attention, config.train.seed);
  auto& model = prepared.model;
  model->set_compute_dtype(scalar_type_of(config.model.dtype));
  place_parameters(model, config, device);
  if (config.model.path.empty()) {
    model->init_random(config.model.init_std, config.train.seed);
    prepared.base_fingerprint =
        fingerprint_of_random_base(base_shape(config), config.train.seed, config.model.init_std);
  } else {
    log_info("loading " + config.model.path);
    load_hf_weights(model, config.model.path);
    prepared.base_fingerprint = fingerprint_of_base(config.model.path);
  }
  if (!config.model.adapter.empty())
    load_trained(config.model.adapter, model, prepared.base_fingerprint);
  warn_about_random_convolutions(config);
  warn_about_places(config, shape);
  if (trains_lora(config) && !has_lora(model)) {
    model->add_lora(config.tune.lora_rank, config.tune.lora_alpha, config.tune.lora_targets,
                    config.train.seed);
  }
  prepared.registry = std::make_unique<ParameterRegistry>(
      model, config.tune, config.train.weight_decay, scalar_type_of(config.model.dtype));
  return prepared;
}

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
  return summarise(describe_parameters(config, shape)) + "\n" + describe_rope(config) + "\n" +
         pattern + describe_stages(config, shape, largest) + largest.estimate.text() +
         sharing_text(config, largest.ranks) + (warning.empty() ? "" : "\nwarning: " + warning);
}

void warn_about_memory(const Config& config, torch::Device device) {
  const auto shape = effective_shape(config);
  const std::string warning =
      warning_of(config, shape, largest_stage(config, shape, launched_ranks()), device);
  if (!warning.empty()) log_warn(warning);
}

}  // namespace lococo
