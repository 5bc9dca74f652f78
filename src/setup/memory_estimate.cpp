#include "setup/memory_estimate.h"

#include <algorithm>
#include <iomanip>
#include <sstream>

#include "lococo/step_plan.h"
#include "model/parameter_kind.h"
#include "pass/sequence_pass.h"
#include "soft/soft_sequence.h"
#include "tensor/frozen/fp8.h"
#include "tensor/frozen/frozen_matrix.h"

namespace lococo {
namespace {

constexpr double kGiB = 1024.0 * 1024.0 * 1024.0;
constexpr int64_t kFloat = 4;
/// cuBLAS keeps this much for each thread (forward, backward) and stream (usual, recording).
constexpr int64_t kLibraryWorkspace = int64_t{32} << 20;

int64_t element_of(const ModelConfig& model) { return model.dtype == DType::kBFloat16 ? 2 : 4; }

bool is_quantised(const ModelConfig& model, const RegisteredParameter& parameter) {
  return model.base_precision != BasePrecision::kAuto && !parameter.trainable &&
         has_base_precision(kind_of_parameter(parameter.name));
}

/// What a run's memory depends on, in tokens and bytes.
struct Run {
  const Config& config;
  const ModelShape& shape;
  int64_t element = 2;               ///< bytes of an activation
  int64_t B = 0, L = 0, S = 0;       ///< rows, tokens of one backward pass, keys they attend to
  bool blockwise = false;            ///< keys and values lie in the caches
  bool recompute = false;            ///< activation checkpointing
  int64_t q_width = 0, k_width = 0;  ///< elements of a token's queries and of its keys

  bool has_segments() const { return !blockwise && config.attention.pattern != PatternKind::kFull; }
};

/// The matrices whose input or float32 master matters: those with LoRA or in training.
class Trained {
 public:
  explicit Trained(const std::vector<RegisteredParameter>& parameters) {
    for (const auto& parameter : parameters) {
      const bool lora = parameter.group == ParameterGroup::kLora;
      if (parameter.tensor.dim() != 2 || !(lora || parameter.trainable)) continue;
      names_ += parameter.name + " ";
      if (lora || parameter.name.find(".layers.") != std::string::npos)
        cast_elements += parameter.tensor.numel();
    }
  }
  bool any(std::initializer_list<const char*> parts) const {
    return std::any_of(parts.begin(), parts.end(),
                       [&](const char* part) { return names_.find(part) != std::string::npos; });
  }

  int64_t cast_elements = 0;  ///< of the layers' masters, whose copies for computing are kept

 private:
  std::string names_;
};

/// Bytes that autograd keeps of one decoder layer for each token when nothing is recomputed: the
/// residual stream at both norms with 1 / rms, q, attention's output and log-sum-exp, gate and up;
/// k and v too unless the caches hold them; and the inputs of projections that are trained.
int64_t layer_bytes_per_token(const Run& run, const Trained& trained) {
  const int64_t E = run.shape.hidden_size, F = run.shape.intermediate_size;
  int64_t elements = 2 * E + 2 * run.q_width + 2 * F;
  // cuDNN is given keys and values of all heads, segments repeat them call by call.
  if (!run.blockwise) elements += 2 * (run.has_segments() ? run.k_width : run.q_width);
  if (trained.any({"q_proj", "k_proj", "v_proj"})) elements += E;
  if (trained.any({"gate_proj", "up_proj"})) elements += E;
  if (trained.any({"down_proj"})) elements += F;
  return elements * run.element + (2 + run.shape.num_heads) * kFloat;
}

/// Bytes that one layer's compression keeps for its convolutions' gradient: all keys and values
/// that are mixed side by side, the convolution's output over them, and the mixtures.
/// Its weights packed for the kernels, half a percent of a 7B run, are left out.
int64_t mixture_bytes(const Run& run) {
  const CacheConfig& cache = run.config.cache;
  const int64_t R = cache.mixed_slots(), D = run.shape.head_dim;
  if (!run.blockwise || R == 0 || !cache.has_convs()) return 0;
  int64_t entering = 0;
  for (const auto& step : make_step_plan(cache, run.config.data.context_length))
    if (step.compress) entering = std::max(entering, step.cached);
  const int64_t rest = std::max<int64_t>(0, entering - cache.kept_slots());
  const int64_t hidden = (cache.conv_layers - 1) * R * cache.expand;
  // Tensor operations keep the gathered tokens and their copy for the convolution, its output and
  // the softmax in float32 too.
  const bool fused = cache.conv_layers == 1 && !cache.mass_channel && !cache.has_retention();
  const int64_t per_token = fused ? 2 * D + R : 4 * D + hidden + 4 * R;
  const int64_t elements = rest * per_token + (entering > 0 ? R * (cache.mix_keys ? 2 : 1) * D : 0);
  return run.B * run.shape.num_kv_heads * elements * run.element;
}

/// Bytes that the soft form of one layer's cache keeps (soft/soft_sequence.h): q, k and v with
/// more channels, and of each block's earlier keys the choice and the mass. The fewest slots
/// have the most blocks.
int64_t teaching_bytes(const Run& run) {
  if (resolved_pass(run.config) != PassKind::kTeach) return 0;
  const TeachConfig& teach = run.config.teach;
  const int64_t fewest = *std::min_element(teach.slots.begin(), teach.slots.end());
  const int64_t block = teach.block > 0 ? teach.block : fewest, D = run.shape.head_dim;
  const int64_t widened = (run.q_width + 2 * run.k_width) / D * (D + kMoreChannels);
  const int64_t earlier_keys = run.L * run.L / (2 * block);
  return run.B *
         (run.L * widened * run.element + earlier_keys * run.shape.num_kv_heads * 2 * kFloat);
}

/// Elements for each token beside those of full attention while segments go backward: a call's own
/// output in q's order and its gradients of q, k and v, of the larger part of the heads.
int64_t segment_elements(const Run& run) {
  if (!run.has_segments()) return 0;
  const int64_t H = run.shape.num_heads, shifted = run.config.attention.shifted_heads(H);
  return 4 * run.q_width * std::max(shifted, H - shifted) / H;
}

/// What one layer's recomputation and its backward pass need at the peak, in attention: gradients
/// of the layer's output and of its first half, the first half again with what it keeps (normed,
/// q, k, v), the gradients of attention's output, q, k and v, and that of q in float32.
int64_t recomputation_bytes(const Run& run, const Trained& trained) {
  const int64_t E = run.shape.hidden_size;
  int64_t elements = 3 * E + 3 * run.q_width + 4 * run.q_width + segment_elements(run);
  if (trained.any({"q_proj", "k_proj", "v_proj"})) elements += E;
  return run.B * run.L * (elements * run.element + run.q_width * kFloat);
}

/// Logits of one chunk and their gradient, and the gradients of what goes in.
int64_t loss_bytes(const Run& run, const Trained& trained) {
  const int64_t V = run.shape.vocab_size, E = run.shape.hidden_size;
  const int64_t rows = std::min<int64_t>(run.config.train.loss_chunk, run.B * run.L);
  const bool head = trained.any({run.shape.tie_word_embeddings ? "embed_tokens" : "lm_head"});
  return rows * V * (kFloat + run.element) + run.B * run.L * E * run.element +
         (head ? V * E * (2 * kFloat + run.element) : 0);
}

/// What products with quantised matrices need for a moment: of 8-bit numbers, where both sizes fit,
/// the widest input in 8 bits, and a product that is added to a gradient; else the largest matrix,
/// made dense.
int64_t quantised_product_bytes(const Run& run,
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

Run describe(const Config& config, const ModelShape& shape) {
  Run run{config, shape, element_of(config.model)};
  run.B = config.train.micro_batch;
  run.L = run.S = config.data.context_length;
  run.blockwise = is_blockwise(config);
  run.recompute = !run.blockwise && config.train.activation_checkpointing;
  run.q_width = shape.num_heads * shape.head_dim;
  run.k_width = shape.num_kv_heads * shape.head_dim;
  if (!run.blockwise) return run;
  const auto extent = extent_of(make_step_plan(config.cache, config.data.context_length));
  run.L = extent.length;
  run.S = extent.attended;
  return run;
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
int64_t hidden_states_between_stages(const Run& run, const ModelLoad& load) {
  const int64_t entering = load.part.begins_model() ? 0 : 1;
  const int64_t leaving = load.part.ends_model() ? 0 : 1;
  if (run.blockwise) return 2 * (entering + leaving) * load.in_flight;
  return leaving * load.in_flight + entering + leaving;
}

}  // namespace

int64_t bytes_of_weight(const Config& config, const RegisteredParameter& parameter) {
  if (parameter.trainable) return parameter.tensor.numel() * kFloat;
  const int64_t element = element_of(config.model);
  if (!is_quantised(config.model, parameter)) return parameter.tensor.numel() * element;
  return matrix_bytes(parameter.tensor.size(0), parameter.tensor.size(1), element,
                      config.model.base_precision, config.tune.any());
}

ModelLoad whole_model(const ModelShape& shape) { return {all_layers(shape)}; }

MemoryEstimate estimate_memory(const Config& config, const ModelShape& shape,
                               const std::vector<RegisteredParameter>& parameters, int64_t ranks) {
  return estimate_memory(config, shape, parameters, ranks, whole_model(shape));
}

MemoryEstimate estimate_memory(const Config& config, const ModelShape& shape,
                               const std::vector<RegisteredParameter>& parameters, int64_t ranks,
                               const ModelLoad& load) {
  const Run run = describe(config, shape);
  const Trained trained(parameters);
  MemoryEstimate estimate;
  for (const auto& parameter : parameters) {
    const int64_t elements = parameter.tensor.numel();
    estimate.weights_bytes += bytes_of_weight(config, parameter);
    if (!parameter.trainable) continue;
    estimate.gradients_bytes += elements * kFloat;
    estimate.optimizer_bytes += 2 * elements * kFloat;
  }
  if (config.distributed.shard_optimizer) estimate.optimizer_bytes /= ranks;

  // Blocks (micro-batches of whole sequences) in flight have caches and activations each.
  const int64_t E = shape.hidden_size, N = load.part.count() * load.in_flight,
                tokens = run.B * run.L;
  if (run.blockwise) {
    estimate.cache_bytes = caches_kept(config) * run.B * N * run.S *
                           (2 * run.k_width * run.element + shape.num_kv_heads * kFloat);
    if (config.cache.distill > 0)  // the teacher's final hidden states of the whole sequence
      estimate.activations_bytes += run.B * config.data.context_length * E * run.element;
    estimate.activations_bytes += N * mixture_bytes(run);
    if (config.cache.keys == KeyKind::kUnrotated)  // turned for each block
      estimate.activations_bytes += run.B * N * run.S * run.k_width * run.element;
  }
  // The last norm's output; its input is gone when a layer is recomputed.
  if (load.part.ends_model())
    estimate.activations_bytes += tokens * (run.recompute ? 1 : 2) * E * run.element;
  estimate.activations_bytes += hidden_states_between_stages(run, load) * tokens * E * run.element;
  const int64_t loss = load.part.ends_model() ? loss_bytes(run, trained) : 0;
  if (run.recompute) {
    // Of each layer its input, attention's output and log-sum-exp.
    estimate.activations_bytes +=
        tokens * N * ((E + run.q_width) * run.element + shape.num_heads * kFloat);
    estimate.workspace_bytes = std::max(loss, recomputation_bytes(run, trained));
  } else {
    estimate.activations_bytes += tokens * N * layer_bytes_per_token(run, trained);
    estimate.activations_bytes += N * teaching_bytes(run);
    if (resolved_pass(config) == PassKind::kTeach)  // the teacher's final hidden states
      estimate.activations_bytes += tokens * E * run.element;
    if (run.element < kFloat)
      estimate.activations_bytes += load.in_flight * trained.cast_elements * run.element;
    const int64_t feed_forward = tokens * 3 * (shape.intermediate_size + E) * run.element;
    estimate.workspace_bytes = std::max(loss, feed_forward);
  }
  const bool records = run.blockwise && config.train.cuda_graphs && config.cache.bptt_blocks == 1;
  estimate.workspace_bytes += (records ? 4 : 2) * kLibraryWorkspace;
  estimate.workspace_bytes += quantised_product_bytes(run, parameters);
  return estimate;
}

int64_t longest_context(const Config& config, const ModelShape& shape,
                        const std::vector<RegisteredParameter>& parameters, int64_t bytes,
                        int64_t ranks) {
  return longest_context(config, shape, parameters, bytes, ranks, whole_model(shape));
}

int64_t longest_context(const Config& config, const ModelShape& shape,
                        const std::vector<RegisteredParameter>& parameters, int64_t bytes,
                        int64_t ranks, const ModelLoad& load) {
  constexpr int64_t kStep = 256;
  Config shorter = config;
  const auto fits = [&](int64_t steps) {
    shorter.data.context_length = steps * kStep;
    return estimate_memory(shorter, shape, parameters, ranks, load).total() <= bytes;
  };
  // Memory grows with the length, or (blockwise) does not depend on it beyond the first blocks.
  int64_t low = 0, high = (config.data.context_length + kStep - 1) / kStep;
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
