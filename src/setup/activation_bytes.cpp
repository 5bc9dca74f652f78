#include "setup/activation_bytes.h"

#include <algorithm>

#include "lococo/step_plan.h"
#include "model/layer_checkpoint.h"
#include "pass/sequence_pass.h"
#include "soft/soft_sequence.h"
#include "tensor/attention/attention_recall.h"

namespace lococo {
namespace {

/// Heads that go backward through attention in one call of a kernel.
int64_t heads_of_a_call(const PassShape& run) {
  const int64_t H = run.shape.num_heads, shifted = run.config.attention.shifted_heads(H);
  if (run.has_segments()) return std::max(shifted, H - shifted);
  return run.has_documents() ? H : std::min(H, heads_at_once(run.B, run.L));
}

/// Bytes for each token that attention's backward pass needs beside q, k, v, its output and the
/// gradient of that. Of a call: that output, that gradient unless of all heads, as the kernel wants
/// them, the gradients of q, k and v, that of q in float32 too. The calls' gradients are collected
/// in the memory of q, k and v where nothing is in two calls.
int64_t attention_gradient_bytes(const PassShape& run) {
  const int64_t heads = heads_of_a_call(run), width = heads * run.shape.head_dim;
  const bool calls = run.has_segments() || heads < run.shape.num_heads;
  const bool sinks = run.has_segments() && run.config.attention.sink_tokens() > 0;
  const bool overwrites = !run.has_documents() && !sinks;
  const int64_t elements =
      (calls ? 5 : 4) * width + (calls && !overwrites ? 3 * run.q_width : int64_t{0});
  return elements * run.element + width * kFloatBytes;
}

/// Bytes of the feed-forward's rows that go backward at one time: gate, up and their product's
/// gradient, those of gate and up, where it is trained the product and more beside them; the norm's
/// output, and gradients of input and output. A frozen one in 4 bits is dense meanwhile: two
/// matrices beside the largest, which memory_estimate.cpp counts.
int64_t feed_forward_rows_bytes(const PassShape& run, const TrainedMatrices& trained) {
  const bool frozen = !trained.any({"gate_proj", "up_proj", "down_proj"});
  const bool nf4 = run.config.model.base_precision == BasePrecision::kNf4;
  const int64_t F = run.shape.intermediate_size, E = run.shape.hidden_size;
  const int64_t rows = std::min(kFeedForwardRows, run.B * run.L);
  return (rows * ((frozen ? 5 : 8) * F + 4 * E) + (frozen && nf4 ? 2 * F * E : int64_t{0})) *
         run.element;
}

}  // namespace

int64_t element_bytes(const ModelConfig& model) { return model.dtype == DType::kBFloat16 ? 2 : 4; }

TrainedMatrices::TrainedMatrices(const std::vector<RegisteredParameter>& parameters) {
  for (const auto& parameter : parameters) {
    const bool lora = parameter.group == ParameterGroup::kLora;
    if (parameter.tensor.dim() != 2 || !(lora || parameter.trainable)) continue;
    names_ += parameter.name + " ";
    if (lora || parameter.name.find(".layers.") != std::string::npos)
      cast_elements += parameter.tensor.numel();
  }
}

bool TrainedMatrices::any(std::initializer_list<const char*> parts) const {
  return std::any_of(parts.begin(), parts.end(),
                     [&](const char* part) { return names_.find(part) != std::string::npos; });
}

PassShape pass_shape(const Config& config, const ModelShape& shape) {
  PassShape run{config, shape, element_bytes(config.model)};
  run.B = config.train.micro_batch;
  run.L = run.S = config.data.context_length;
  run.blockwise = is_blockwise(config);
  run.recompute =
      resolved_pass(config) == PassKind::kFullSequence && config.train.activation_checkpointing;
  run.q_width = shape.num_heads * shape.head_dim;
  run.k_width = shape.num_kv_heads * shape.head_dim;
  if (!run.blockwise) return run;
  const auto extent = extent_of(make_step_plan(config.cache, config.data.context_length));
  run.L = extent.length;
  run.S = extent.attended;
  return run;
}

int64_t layer_bytes_per_token(const PassShape& run, const TrainedMatrices& trained) {
  const int64_t E = run.shape.hidden_size, F = run.shape.intermediate_size;
  int64_t elements = 2 * E + 2 * run.q_width + 2 * F;
  // cuDNN is given keys and values of all heads, segments repeat them call by call.
  if (!run.blockwise) elements += 2 * (run.has_segments() ? run.k_width : run.q_width);
  if (trained.any({"q_proj", "k_proj", "v_proj"})) elements += E;
  if (trained.any({"gate_proj", "up_proj"})) elements += E;
  if (trained.any({"down_proj"})) elements += F;
  return elements * run.element + (2 + run.shape.num_heads) * kFloatBytes;
}

int64_t mixture_bytes(const PassShape& run) {
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

int64_t teaching_bytes(const PassShape& run) {
  if (resolved_pass(run.config) != PassKind::kTeach) return 0;
  const TeachConfig& teach = run.config.teach;
  const int64_t fewest = *std::min_element(teach.slots.begin(), teach.slots.end());
  const int64_t block = teach.block > 0 ? teach.block : fewest, D = run.shape.head_dim;
  const int64_t widened = (run.q_width + 2 * run.k_width) / D * (D + kMoreChannels);
  const int64_t earlier_keys = run.L * run.L / (2 * block);
  return run.B *
         (run.L * widened * run.element + earlier_keys * run.shape.num_kv_heads * 2 * kFloatBytes);
}

int64_t recomputation_bytes(const PassShape& run, const TrainedMatrices& trained) {
  const int64_t E = run.shape.hidden_size, tokens = run.B * run.L;
  int64_t elements = E + 3 * run.q_width;
  if (trained.any({"q_proj", "k_proj", "v_proj"})) elements += E;
  const int64_t again = run.config.train.recompute_attention ? attention_bytes_per_token(run) : 0;
  const int64_t in_attention = tokens * (run.q_width * run.element + attention_gradient_bytes(run));
  const int64_t in_feed_forward = tokens * E * run.element + feed_forward_rows_bytes(run, trained);
  return tokens * (elements * run.element + again) + std::max(in_attention, in_feed_forward);
}

int64_t attention_bytes_per_token(const PassShape& run) {
  return run.q_width * run.element + run.shape.num_heads * kFloatBytes;
}

int64_t loss_bytes(const PassShape& run, const TrainedMatrices& trained) {
  const int64_t V = run.shape.vocab_size, E = run.shape.hidden_size;
  const int64_t rows = std::min<int64_t>(run.config.train.loss_chunk, run.B * run.L);
  const bool head = trained.any({run.shape.tie_word_embeddings ? "embed_tokens" : "lm_head"});
  return rows * V * (kFloatBytes + run.element) + run.B * run.L * E * run.element +
         (head ? V * E * (2 * kFloatBytes + run.element) : 0);
}

}  // namespace lococo
