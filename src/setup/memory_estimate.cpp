#include "setup/memory_estimate.h"

#include <algorithm>
#include <iomanip>
#include <sstream>

#include "core/units.h"
#include "lococo/step_plan.h"
#include "model/parameter_kind.h"
#include "pass/sequence_pass.h"
#include "setup/activation_bytes.h"
#include "tensor/frozen/fp8.h"
#include "tensor/frozen/frozen_matrix.h"

namespace lococo {
namespace {

/// cuBLAS keeps this much for each thread (forward, backward) and stream (usual, recording).
constexpr int64_t kLibraryWorkspace = int64_t{32} << 20;

bool is_quantised(const ModelConfig& model, const RegisteredParameter& parameter) {
  return model.base_precision != BasePrecision::kAuto && !parameter.trainable &&
         has_base_precision(kind_of_parameter(parameter.name));
}

/// What products with quantised matrices need for a moment: of 8-bit numbers, where both sizes fit,
/// the widest input in 8 bits, and a product that is added to a gradient; else the largest matrix,
/// made dense.
int64_t quantised_product_bytes(const PassShape& run,
                                const std::vector<RegisteredParameter>& parameters) {
  const ModelConfig& model = run.config.model;
  const bool fp8 = model.base_precision == BasePrecision::kFp8 && model.dtype == DType::kBFloat16;
  int64_t most = 0;
  for (const auto& parameter : parameters) {
    if (!is_quantised(model, parameter)) continue;
    const int64_t O = parameter.tensor.size(0), E = parameter.tensor.size(1);
    const int64_t inputs = run.B * run.L * (std::max(O, E) + E * run.element);
    const bool fits = O % kFp8SizeStep == 0 && E % kFp8SizeStep == 0;
    most = std::max(most, fp8 && fits ? inputs : O * E * run.element);
  }
  return most;
}

/// Caches of a layer that exist at one time: one; with windows of W blocks the one before each
/// block, and two gradients of a cache.
int64_t caches_kept(const Config& config) {
  if (config.cache.bptt_blocks == 1) return 1;
  const auto plan = make_step_plan(config.cache, config.data.context_length);
  return std::min(config.cache.bptt_blocks, static_cast<int64_t>(plan.size())) + 2;
}

/// What goes to the next stage and comes from the one before, and the gradients of both: of all
/// blocks in flight; of whole sequences what leaves, while gradients come and go one by one, and
/// what enters is the first layer's input.
int64_t hidden_states_between_stages(const PassShape& run, const TrainingLoad& load) {
  const int64_t entering = load.part.begins_model() ? 0 : 1;
  const int64_t leaving = load.part.ends_model() ? 0 : 1;
  if (run.blockwise) return 2 * (entering + leaving) * load.in_flight;
  return leaving * load.in_flight + entering + leaving;
}

/// Whether the last norm's output is gone when the backward pass begins: one process needs it for a
/// whole sequence's loss alone.
bool drops_last_states(const TrainingLoad& load) {
  return resolved_pass(load.config) == PassKind::kFullSequence && load.part.is_whole();
}

/// Weights, and of those in training gradients and moments.
void add_parameters(const TrainingLoad& load, MemoryEstimate& estimate) {
  for (const auto& parameter : load.parameters) {
    const int64_t elements = parameter.tensor.numel();
    estimate.weights_bytes += bytes_of_weight(load.config, parameter);
    if (!parameter.trainable) continue;
    estimate.gradients_bytes += elements * kFloatBytes;
    estimate.optimizer_bytes += 2 * elements * kFloatBytes;
  }
  if (load.config.distributed.shard_optimizer) estimate.optimizer_bytes /= load.ranks;
}

/// Of `layers` layers: all that the process has, for each block in flight.
void add_caches(const PassShape& run, int64_t layers, MemoryEstimate& estimate) {
  const Config& config = run.config;
  estimate.cache_bytes = caches_kept(config) * run.B * layers * run.S *
                         (2 * run.k_width * run.element + run.shape.num_kv_heads * kFloatBytes);
  if (config.cache.distill > 0)  // the teacher's final hidden states of the whole sequence
    estimate.activations_bytes +=
        run.B * config.data.context_length * run.shape.hidden_size * run.element;
  estimate.activations_bytes += layers * mixture_bytes(run);
  if (!config.cache.caches_rotated())  // turned for each block
    estimate.activations_bytes += run.B * layers * run.S * run.k_width * run.element;
}

/// What `layers` layers keep for their backward passes; returns what one of them needs for a
/// moment.
int64_t add_layers(const PassShape& run, const TrainedMatrices& trained, int64_t layers,
                   MemoryEstimate& estimate) {
  const int64_t E = run.shape.hidden_size, tokens = run.B * run.L;
  if (run.recompute) {  // of each layer its input, and what attention leaves
    const int64_t attention =
        run.config.train.recompute_attention ? 0 : attention_bytes_per_token(run);
    estimate.activations_bytes += tokens * layers * (E * run.element + attention);
    return recomputation_bytes(run, trained);
  }
  estimate.activations_bytes += tokens * layers * layer_bytes_per_token(run, trained);
  estimate.activations_bytes += layers * teaching_bytes(run);
  return tokens * 3 * (run.shape.intermediate_size + E) * run.element;  // feed forward
}

}  // namespace

int64_t bytes_of_weight(const Config& config, const RegisteredParameter& parameter) {
  if (parameter.trainable) return parameter.tensor.numel() * kFloatBytes;
  const int64_t element = element_bytes(config.model);
  if (!is_quantised(config.model, parameter)) return parameter.tensor.numel() * element;
  return matrix_bytes(parameter.tensor.size(0), parameter.tensor.size(1), element,
                      config.model.base_precision, config.tune.any());
}

MemoryEstimate estimate_memory(const TrainingLoad& load) {
  const Config& config = load.config;
  const PassShape run = pass_shape(config, load.shape);
  const TrainedMatrices trained(load.parameters);
  const bool ends = load.part.ends_model(), teaches = resolved_pass(config) == PassKind::kTeach;
  const int64_t layers = load.part.count() * load.in_flight;
  MemoryEstimate estimate;
  add_parameters(load, estimate);
  if (run.blockwise) add_caches(run, layers, estimate);
  const int64_t of_a_layer = add_layers(run, trained, layers, estimate);
  // Hidden states: those between stages; the last norm's output, unless it goes with the loss, and
  // its input, which is gone when a layer is recomputed; the teacher's.
  const bool drops = drops_last_states(load);
  const int64_t last = (drops ? 0 : 1) + (run.recompute ? 0 : 1);
  const int64_t states =
      hidden_states_between_stages(run, load) + (ends ? last : 0) + (teaches ? 1 : 0);
  const int64_t state_bytes = run.B * run.L * load.shape.hidden_size * run.element;
  estimate.activations_bytes += states * state_bytes;
  if (!run.recompute && run.element < kFloatBytes)
    estimate.activations_bytes += load.in_flight * trained.cast_elements * run.element;

  const int64_t of_loss = ends ? loss_bytes(run, trained) + (drops ? state_bytes : 0) : 0;
  estimate.workspace_bytes = std::max(of_loss, of_a_layer);
  const bool records = run.blockwise && config.train.cuda_graphs && config.cache.bptt_blocks == 1;
  estimate.workspace_bytes += (records ? 4 : 2) * kLibraryWorkspace;
  estimate.workspace_bytes += quantised_product_bytes(run, load.parameters);
  return estimate;
}

int64_t longest_context(const TrainingLoad& load, int64_t bytes) {
  constexpr int64_t kStep = 256;
  const auto fits = [&](int64_t steps) {
    Config shorter = load.config;
    shorter.data.context_length = steps * kStep;
    return estimate_memory(load.with(shorter)).total() <= bytes;
  };
  // Memory grows with the length, or (blockwise) does not depend on it beyond the first blocks.
  int64_t low = 0, high = (load.config.data.context_length + kStep - 1) / kStep;
  while (low + 1 < high) {
    const int64_t middle = (low + high) / 2;
    (fits(middle) ? low : high) = middle;
  }
  return low * kStep;
}

std::string MemoryEstimate::text() const {
  std::ostringstream out;
  out << std::fixed << std::setprecision(2);
  auto row = [&](const char* name, int64_t bytes) {
    out << "  " << name << static_cast<double>(bytes) / kGiB << " GiB\n";
  };
  out << "estimated memory of one GPU (or CPU process)\n";
  row("weights      ", weights_bytes);
  row("gradients    ", gradients_bytes);
  row("optimizer    ", optimizer_bytes);
  row("cache        ", cache_bytes);
  row("activations  ", activations_bytes);
  row("workspace    ", workspace_bytes);
  row("total        ", total());
  auto text = out.str();
  text.pop_back();
  return text;
}

}  // namespace lococo
