#include "model/linear.h"

#include <ATen/CPUGeneratorImpl.h>
#include <torch/types.h>

#include <cmath>

namespace lococo {

LowRankFactorImpl::LowRankFactorImpl(torch::Tensor initial) {
  weight = register_parameter("weight", std::move(initial));
}

LinearImpl::LinearImpl(int64_t in_features, int64_t out_features) {
  weight = register_parameter("weight", torch::empty({out_features, in_features}));
}

void LinearImpl::add_lora(int64_t rank, double alpha, uint64_t seed) {
  TORCH_CHECK(!has_lora(), "this layer has LoRA already");
  const int64_t in_features = weight.size(1), out_features = weight.size(0);
  auto generator = at::detail::createCPUGenerator(seed);
  // Kaiming uniform with a = sqrt(5), which is PEFT's default for A; B starts at zero, so that
  // nothing changes at first.
  const double bound = 1.0 / std::sqrt(static_cast<double>(in_features));
  const auto initial_a = torch::empty({rank, in_features}).uniform_(-bound, bound, generator);
  const auto options = torch::dtype(torch::kFloat32).device(weight.device());
  lora_A = register_module("lora_A", LowRankFactor(initial_a.to(options)));
  lora_B = register_module("lora_B", LowRankFactor(torch::zeros({out_features, rank}, options)));
  lora_scale_ = alpha / static_cast<double>(rank);
}

torch::Tensor LinearImpl::merged_weight() const {
  torch::NoGradGuard no_grad;
  const auto base = weight.detach().to(torch::kFloat32);
  if (!has_lora()) return base;
  return base + lora_scale_ * torch::mm(lora_B->weight.to(torch::kFloat32),
                                        lora_A->weight.to(torch::kFloat32));
}

torch::Tensor LinearImpl::forward(const torch::Tensor& x) {
  const auto dtype = x.scalar_type();
  const auto y = at::linear(x, weight.to(dtype));
  if (!has_lora()) return y;
  const auto low_rank = at::linear(x, lora_A->weight.to(dtype));
  return y + at::linear(low_rank, lora_B->weight.to(dtype)) * lora_scale_;
}

}  // namespace lococo
