#include <cmath>

#include "tensor/attention.h"
#include "tensor/attention_backends.h"
#include "tensor/column_mass_kernel.h"
#include "tensor/matmul.h"
#include "tensor/shape.h"

#ifdef LOCOCO_WITH_CUDA
#include <c10/cuda/CUDAStream.h>
#endif

namespace lococo {
namespace {

/// exp(score - lse) summed over rows, written with tensor operations.
torch::Tensor sum_probabilities(const torch::Tensor& scores_BGRS, const torch::Tensor& lse_BGR,
                                double scale, int64_t L) {
  const int64_t R = scores_BGRS.size(2), S = scores_BGRS.size(3);
  const auto bias_LS = causal_bias(L, S, scores_BGRS.options());
  auto logits = scores_BGRS * scale - lse_BGR.unsqueeze(-1);
  logits = logits + bias_LS.repeat({R / L, 1});
  return logits.exp().sum(/*dim=*/2);
}

#ifdef LOCOCO_WITH_CUDA
torch::Tensor sum_probabilities_cuda(const torch::Tensor& scores_BGRS, const torch::Tensor& lse_BGR,
                                     double scale, int64_t L) {
  const int64_t B = scores_BGRS.size(0), G = scores_BGRS.size(1), R = scores_BGRS.size(2),
                S = scores_BGRS.size(3);
  const int64_t chunks = (R + kColumnMassRows - 1) / kColumnMassRows;
  auto partial = torch::empty({B, G, chunks, S}, scores_BGRS.options());
  launch_column_mass(scores_BGRS.const_data_ptr<float>(), lse_BGR.const_data_ptr<float>(),
                     partial.data_ptr<float>(), {B * G, R, L, S, static_cast<float>(scale)},
                     c10::cuda::getCurrentCUDAStream().stream());
  return partial.sum(/*dim=*/2);
}
#endif

}  // namespace

torch::Tensor column_mass(const torch::Tensor& q_BHLD, const torch::Tensor& k_BGSD,
                          const torch::Tensor& lse_BHL) {
  torch::NoGradGuard no_grad;
  const int64_t B = q_BHLD.size(0), H = q_BHLD.size(1), L = q_BHLD.size(2), D = q_BHLD.size(3);
  const int64_t G = k_BGSD.size(1), S = k_BGSD.size(2);
  CHECK_SHAPE(k_BGSD, B, G, S, D);
  CHECK_SHAPE(lse_BHL, B, H, L);
  // The H / G query heads of a group become rows of one product with the group's keys.
  const int64_t R = H / G * L;
  const double scale = 1.0 / std::sqrt(static_cast<double>(D));
  const auto q_rows = q_BHLD.reshape({B * G, R, D});
  const auto scores_BGRS =
      batched_matmul_f32(q_rows, k_BGSD.reshape({B * G, S, D}).transpose(1, 2)).view({B, G, R, S});
  const auto lse_BGR = lse_BHL.to(torch::kFloat32).reshape({B, G, R});
#ifdef LOCOCO_WITH_CUDA
  if (scores_BGRS.is_cuda()) return sum_probabilities_cuda(scores_BGRS, lse_BGR, scale, L);
#endif
  return sum_probabilities(scores_BGRS, lse_BGR, scale, L);
}

torch::Tensor column_mass_reference(const torch::Tensor& q_BHLD, const torch::Tensor& k_BGSD) {
  torch::NoGradGuard no_grad;
  const int64_t B = q_BHLD.size(0), H = q_BHLD.size(1), L = q_BHLD.size(2);
  const int64_t G = k_BGSD.size(1), S = k_BGSD.size(2);
  const auto q = q_BHLD.to(torch::kFloat64);
  const auto k = repeat_kv_heads(k_BGSD, H).to(torch::kFloat64);
  const auto scores =
      torch::matmul(q, k.transpose(-1, -2)) / std::sqrt(static_cast<double>(q.size(3)));
  const auto probabilities =
      torch::softmax(scores + causal_bias(L, S, scores.options()), /*dim=*/-1);
  return probabilities.sum(/*dim=*/2).view({B, G, H / G, S}).sum(/*dim=*/2).to(torch::kFloat32);
}

}  // namespace lococo
