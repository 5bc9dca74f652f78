#include "tensor/kit/finite.h"

#include "tensor/kit/torch.h"

namespace lococo {
namespace {

/// A GPU among the tensors' devices, if any: numbers go there without a wait, and not back.
torch::Device common_device(const std::vector<torch::Tensor>& tensors) {
  for (const auto& tensor : tensors) {
    if (!tensor.is_cpu()) return tensor.device();
  }
  return torch::kCPU;
}

}  // namespace

std::optional<size_t> first_non_finite(const std::vector<torch::Tensor>& tensors) {
  const torch::NoGradGuard no_grad;
  if (tensors.empty()) return std::nullopt;
  const auto options = torch::dtype(torch::kFloat32).device(common_device(tensors));
  std::vector<torch::Tensor> sums;
  for (const auto& tensor : tensors)
    sums.push_back(tensor.sum().to(options, /*non_blocking=*/true));
  if (torch::stack(sums).isfinite().all().item<bool>()) return std::nullopt;
  // Not finite is what adds NaN or infinity up, but so may be the sum of finite numbers.
  for (size_t i = 0; i < tensors.size(); ++i) {
    if (!tensors[i].isfinite().all().item<bool>()) return i;
  }
  return std::nullopt;
}

}  // namespace lococo
