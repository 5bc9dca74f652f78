#include "tensor/attention/attention_reference.h"

#include <cmath>

#include "tensor/kit/wide.h"

namespace lococo {

torch::Tensor repeat_kv_heads(const torch::Tensor& x_BGSD, int64_t H) {
  const int64_t G = x_BGSD.size(1);
  return G == H ? x_BGSD : x_BGSD.repeat_interleave(H / G, /*dim=*/1);
}

torch::Tensor causal_bias(int64_t L, int64_t S, const torch::TensorOptions& options) {
  return torch::full({L, S}, -INFINITY, options).triu(/*diagonal=*/S - L + 1);
}

AttentionOutput reference_attention(const torch::Tensor& q_BHLD, const torch::Tensor& k_BGSD,
                                    const torch::Tensor& v_BGSD) {
  const int64_t H = q_BHLD.size(1), L = q_BHLD.size(2), S = k_BGSD.size(2);
  const auto wide = wide_of(q_BHLD);
  const double scale = 1.0 / std::sqrt(static_cast<double>(q_BHLD.size(3)));

  const auto q = q_BHLD.to(wide);
  const auto k = repeat_kv_heads(k_BGSD, H).to(wide);
  const auto v = repeat_kv_heads(v_BGSD, H).to(wide);
  auto scores_BHLS = torch::matmul(q, k.transpose(-1, -2)) * scale;
  scores_BHLS = scores_BHLS + causal_bias(L, S, scores_BHLS.options().requires_grad(false));
  const auto out_BHLD = torch::matmul(torch::softmax(scores_BHLS, /*dim=*/-1), v);
  const auto lse_BHL = torch::logsumexp(scores_BHLS.detach(), /*dim=*/-1);
  return {out_BHLD.to(q_BHLD.scalar_type()), lse_BHL.to(torch::kFloat32)};
}

}  // namespace lococo
