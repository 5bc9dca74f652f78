#include "train/memory_estimate.h"

#include <algorithm>
#include <iomanip>
#include <sstream>

#include "lococo/step_plan.h"
#include "train/sequence_pass.h"

namespace lococo {
namespace {

constexpr double kGiB = 1024.0 * 1024.0 * 1024.0;
constexpr int64_t kFloat = 4;

/// Bytes that autograd keeps of one decoder layer for each token: two norms (their float32 input
/// and its square root's product, the result), rotary q and k, attention's q, k, v and output, the
/// residual stream, and gate, silu, up and their product.
int64_t layer_bytes_per_token(const ModelShape& shape, int64_t element) {
  const int64_t E = shape.hidden_size, F = shape.intermediate_size, D = shape.head_dim;
  const int64_t norms = 2 * (3 * kFloat * E + element * E);
  const int64_t attention =
      (2 * shape.num_heads + 2 * shape.num_kv_heads) * D * element + E * element;
  const int64_t residual = 2 * E * element;
  return norms + attention + residual + 4 * F * element;
}

}  // namespace

MemoryEstimate estimate_memory(const Config& config, const ModelShape& shape,
                               const std::vector<RegisteredParameter>& parameters) {
  MemoryEstimate estimate;
  const int64_t element = config.model.dtype == DType::kBFloat16 ? 2 : 4;
  for (const auto& parameter : parameters) {
    const int64_t elements = parameter.tensor.numel();
    estimate.weights_bytes += elements * (parameter.trainable ? kFloat : element);
    if (!parameter.trainable) continue;
    estimate.gradients_bytes += elements * kFloat;
    estimate.optimizer_bytes += 2 * elements * kFloat;
  }

  const bool blockwise = is_blockwise(config);
  const int64_t B = config.train.micro_batch, N = shape.num_layers;
  const int64_t T = config.data.context_length;
  int64_t L = T, S = T;
  if (blockwise) {
    L = S = 0;
    for (const auto& step : make_step_plan(config.cache, T)) {
      L = std::max(L, step.length());
      S = std::max(S, step.attended());
    }
    const int64_t slot = 2 * shape.head_dim * element + kFloat;
    estimate.cache_bytes = B * N * shape.num_kv_heads * S * slot;
    // A layer keeps the concatenated keys and values for its backward pass too.
    estimate.activations_bytes += B * N * 2 * shape.num_kv_heads * S * shape.head_dim * element;
    estimate.workspace_bytes += B * shape.num_heads * L * S * kFloat;
  }
  const bool recompute = !blockwise && config.train.activation_checkpointing;
  const int64_t kept_layers = recompute ? 1 : N;
  estimate.activations_bytes += B * L * kept_layers * layer_bytes_per_token(shape, element);
  if (recompute) estimate.activations_bytes += B * L * N * shape.hidden_size * element;
  const int64_t rows = std::min<int64_t>(config.train.loss_chunk, B * L);
  estimate.workspace_bytes +=
      rows * shape.vocab_size * (kFloat + element) + B * L * shape.hidden_size * element;
  return estimate;
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
