#include "tensor/kit/matmul.h"

#include <ATen/ops/bmm.h>
#include <ATen/ops/mm.h>

namespace lococo {
namespace {

bool is_half(const torch::Tensor& x) {
  return x.scalar_type() == torch::kBFloat16 || x.scalar_type() == torch::kFloat16;
}

}  // namespace

torch::Tensor batched_matmul_f32(const torch::Tensor& a, const torch::Tensor& b) {
  torch::NoGradGuard no_grad;
  if (a.is_cuda() && is_half(a)) return at::bmm(a, b, torch::kFloat32);
  return torch::bmm(a.to(torch::kFloat32), b.to(torch::kFloat32));
}

torch::Tensor matmul_f32(const torch::Tensor& a, const torch::Tensor& b) {
  torch::NoGradGuard no_grad;
  if (a.is_cuda() && is_half(a)) return at::mm(a, b, torch::kFloat32);
  return torch::mm(a.to(torch::kFloat32), b.to(torch::kFloat32));
}

}  // namespace lococo
