#include "tensor/attention/key_bias_attention.h"

#include <cmath>

#include "tensor/attention/attention_reference.h"
#include "tensor/kit/shape.h"
#include "tensor/kit/wide.h"

namespace lococo {

AttentionOutput key_bias_attention(const torch::Tensor& q_BHLD, const torch::Tensor& k_BGSD,
                                   const torch::Tensor& v_BGSD, const torch::Tensor& bias_BGS) {
  const int64_t B = q_BHLD.size(0), H = q_BHLD.size(1), L = q_BHLD.size(2), D = q_BHLD.size(3);
  const int64_t G = k_BGSD.size(1), S = k_BGSD.size(2);
  CHECK_SHAPE(k_BGSD, B, G, S, D);
  CHECK_SHAPE(v_BGSD, B, G, S, D);
  CHECK_SHAPE(bias_BGS, B, G, S);
  TORCH_CHECK(H % G == 0 && S >= L, "want H a multiple of G and S >= L, got H=", H, " G=", G,
              " S=", S, " L=", L);
  const auto wide = wide_of(q_BHLD);
  const auto k_BHSD = repeat_kv_heads(k_BGSD, H).to(wide);
  const auto v_BHSD = repeat_kv_heads(v_BGSD, H).to(wide);
  const auto bias_BHS = bias_BGS.to(wide).repeat_interleave(H / G, /*dim=*/1);
  const double scale = 1.0 / std::sqrt(static_cast<double>(D));
  const auto logits_BHLS = torch::matmul(q_BHLD.to(wide), k_BHSD.transpose(-1, -2)) * scale +
                           bias_BHS.unsqueeze(2) +
                           causal_bias(L, S, torch::dtype(wide).device(q_BHLD.device()));
  const auto out_BHLD = torch::matmul(torch::softmax(logits_BHLS, /*dim=*/-1), v_BHSD);
  const auto lse_BHL = torch::logsumexp(logits_BHLS.detach(), /*dim=*/-1);
  return {out_BHLD.to(q_BHLD.scalar_type()), lse_BHL.to(torch::kFloat32)};
}

}  // namespace lococo
