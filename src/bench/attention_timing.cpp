#include "bench/attention_timing.h"

#include <torch/autograd.h>

#include "tensor/attention/attention.h"

namespace lococo {

double AttentionSize::flops() const {
  // Query l of L sees S - L + l + 1 keys; two products of D for each.
  const auto queries = static_cast<double>(L), keys = static_cast<double>(S);
  const double pairs = queries * (keys - queries) + queries * (queries + 1) / 2;
  return 4.0 * static_cast<double>(B * H) * static_cast<double>(D) * pairs;
}

std::vector<AttentionBackend> library_backends(torch::TensorOptions options) {
  const bool fused = options.device().is_cuda() && options.dtype() == torch::kBFloat16;
  if (!fused) return {AttentionBackend::kAuto};
  return {AttentionBackend::kFlash, AttentionBackend::kCudnn};
}

std::optional<AttentionTimes> time_attention(const AttentionSize& size,
                                             torch::TensorOptions options, AttentionBackend backend,
                                             const Rounds& rounds) {
  const auto heads_second = [&](int64_t heads, int64_t length) {
    return torch::randn({size.B, length, heads, size.D}, options).transpose(1, 2);
  };
  try {
    const auto q = heads_second(size.H, size.L).requires_grad_();
    const auto k = heads_second(size.G, size.S).requires_grad_();
    const auto v = heads_second(size.G, size.S).requires_grad_();
    const auto dout = heads_second(size.H, size.L);
    AttentionTimes times;
    {
      const torch::NoGradGuard no_grad;
      times.forward = spread_of(time_in_flight(
          options.device(), [&] { causal_attention(q, k, v, backend); }, rounds));
    }
    const auto both = [&] {
      const auto out = causal_attention(q, k, v, backend).out_BHLD;
      torch::autograd::grad({out}, {q, k, v}, {dout});
    };
    times.both = spread_of(time_in_flight(options.device(), both, rounds));
    return times;
  } catch (const c10::OutOfMemoryError&) {
    throw;
  } catch (const std::exception&) {  // cuDNN throws errors of its own
    return std::nullopt;
  }
}

}  // namespace lococo
