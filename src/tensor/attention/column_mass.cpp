#include "tensor/attention/column_mass.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "tensor/attention/attention_reference.h"
#include "tensor/attention/column_mass_kernel.h"
#include "tensor/kit/kernel_input.h"
#include "tensor/kit/kernel_launch.h"
#include "tensor/kit/matmul.h"
#include "tensor/kit/shape.h"

namespace lococo {
namespace {

double score_scale(int64_t D) { return 1.0 / std::sqrt(static_cast<double>(D)); }

/// exp(score - lse) of all queries and keys at once, summed over rows.
torch::Tensor column_mass_slow(const torch::Tensor& q_BHLD, const torch::Tensor& k_BGSD,
                               const torch::Tensor& lse_BHL, const torch::Tensor& prior_mass_BGM,
                               int64_t distance) {
  const int64_t B = q_BHLD.size(0), H = q_BHLD.size(1), L = q_BHLD.size(2), D = q_BHLD.size(3);
  const int64_t G = k_BGSD.size(1), S = k_BGSD.size(2);
  // The H / G query heads of a group become rows of one product with the group's keys.
  const int64_t R = H / G * L;
  const auto q_rows = q_BHLD.reshape({B * G, R, D});
  auto scores_BGRS =
      batched_matmul_f32(q_rows, k_BGSD.reshape({B * G, S, D}).transpose(1, 2)).view({B, G, R, S});
  const auto lse_BGR = lse_BHL.to(torch::kFloat32).reshape({B, G, R});
  scores_BGRS.mul_(score_scale(D)).sub_(lse_BGR.unsqueeze(-1));
  const auto counts_LS =
      torch::ones({L, S}, scores_BGRS.options().dtype(torch::kBool)).tril(S - L - distance);
  scores_BGRS.masked_fill_(counts_LS.logical_not().repeat({R / L, 1}),
                           -std::numeric_limits<float>::infinity());
  auto mass_BGS = scores_BGRS.exp_().sum(/*dim=*/2);
  if (prior_mass_BGM.defined())
    mass_BGS.narrow(/*dim=*/2, 0, prior_mass_BGM.size(2)).add_(prior_mass_BGM);
  return mass_BGS;
}

#ifdef LOCOCO_WITH_CUDA

bool kernel_takes(const torch::Tensor& q_BHLD, const torch::Tensor& k_BGSD) {
  constexpr int64_t kMost = std::numeric_limits<int32_t>::max() / 2;
  return q_BHLD.is_cuda() && q_BHLD.scalar_type() == torch::kBFloat16 &&
         k_BGSD.scalar_type() == torch::kBFloat16 && column_mass_takes(q_BHLD.size(3)) &&
         q_BHLD.size(1) * q_BHLD.size(2) < kMost && k_BGSD.size(2) < kMost && q_BHLD.numel() > 0;
}

/// Rows that can be read 16 bytes at a time; a copy where they cannot.
torch::Tensor with_aligned_rows(const torch::Tensor& x) {
  const bool aligned = x.stride(3) == 1 && x.stride(0) % 8 == 0 && x.stride(1) % 8 == 0 &&
                       x.stride(2) % 8 == 0 && is_aligned(x);
  return aligned ? x : x.clone(at::MemoryFormat::Contiguous);
}

torch::Tensor column_mass_cuda(const torch::Tensor& q_BHLD, const torch::Tensor& k_BGSD,
                               const torch::Tensor& lse_BHL, const torch::Tensor& prior_mass_BGM,
                               int64_t distance) {
  const auto q = with_aligned_rows(q_BHLD), k = with_aligned_rows(k_BGSD);
  const auto lse = lse_BHL.to(torch::kFloat32).contiguous();
  const auto prior = prior_mass_BGM.defined() ? prior_mass_BGM.contiguous() : torch::Tensor();
  auto mass_BGS = torch::empty({q.size(0), k.size(1), k.size(2)}, lse.options());
  ColumnMassArguments arguments{};
  arguments.q = q.const_data_ptr();
  arguments.k = k.const_data_ptr();
  arguments.lse = lse.const_data_ptr<float>();
  arguments.prior = prior.defined() ? prior.const_data_ptr<float>() : nullptr;
  arguments.mass = mass_BGS.data_ptr<float>();
  for (int i = 0; i < 3; ++i) {
    arguments.q_strides[i] = q.stride(i);
    arguments.k_strides[i] = k.stride(i);
  }
  arguments.B = static_cast<int32_t>(q.size(0));
  arguments.H = static_cast<int32_t>(q.size(1));
  arguments.G = static_cast<int32_t>(k.size(1));
  arguments.L = static_cast<int32_t>(q.size(2));
  arguments.S = static_cast<int32_t>(k.size(2));
  arguments.D = static_cast<int32_t>(q.size(3));
  arguments.M = prior.defined() ? static_cast<int32_t>(prior.size(2)) : 0;
  arguments.distance = static_cast<int32_t>(std::min<int64_t>(distance, k.size(2)));
  arguments.scale = static_cast<float>(score_scale(q.size(3)));
  launch_on(q, [&](CUstream_st* stream) { launch_column_mass(arguments, stream); });
  return mass_BGS;
}

#endif

}  // namespace

torch::Tensor column_mass(const torch::Tensor& q_BHLD, const torch::Tensor& k_BGSD,
                          const torch::Tensor& lse_BHL, const torch::Tensor& prior_mass_BGM,
                          int64_t distance) {
  torch::NoGradGuard no_grad;
  const int64_t B = q_BHLD.size(0), H = q_BHLD.size(1), L = q_BHLD.size(2), D = q_BHLD.size(3);
  const int64_t G = k_BGSD.size(1), S = k_BGSD.size(2);
  CHECK_SHAPE(k_BGSD, B, G, S, D);
  CHECK_SHAPE(lse_BHL, B, H, L);
  TORCH_CHECK(S >= L && H % G == 0, "want S >= L and H a multiple of G");
  TORCH_CHECK(distance >= 0, "want a distance of 0 or more, not ", distance);
  if (prior_mass_BGM.defined()) {
    CHECK_SHAPE(prior_mass_BGM, B, G, -1);
    TORCH_CHECK(prior_mass_BGM.size(2) <= S && prior_mass_BGM.scalar_type() == torch::kFloat32,
                "prior_mass_BGM: want float32 for at most ", S, " keys");
  }
#ifdef LOCOCO_WITH_CUDA
  if (kernel_takes(q_BHLD, k_BGSD))
    return column_mass_cuda(q_BHLD, k_BGSD, lse_BHL, prior_mass_BGM, distance);
#endif
  return column_mass_slow(q_BHLD, k_BGSD, lse_BHL, prior_mass_BGM, distance);
}

torch::Tensor column_mass_reference(const torch::Tensor& q_BHLD, const torch::Tensor& k_BGSD,
                                    int64_t distance) {
  torch::NoGradGuard no_grad;
  const int64_t B = q_BHLD.size(0), H = q_BHLD.size(1), L = q_BHLD.size(2);
  const int64_t G = k_BGSD.size(1), S = k_BGSD.size(2);
  const auto q = q_BHLD.to(torch::kFloat64);
  const auto k = repeat_kv_heads(k_BGSD, H).to(torch::kFloat64);
  const auto scores =
      torch::matmul(q, k.transpose(-1, -2)) / std::sqrt(static_cast<double>(q.size(3)));
  const auto probabilities =
      torch::softmax(scores + causal_bias(L, S, scores.options()), /*dim=*/-1);
  const auto counted = probabilities.tril(S - L - distance);
  return counted.sum(/*dim=*/2).view({B, G, H / G, S}).sum(/*dim=*/2).to(torch::kFloat32);
}

}  // namespace lococo
