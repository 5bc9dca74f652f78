#include "tensor/frozen/frozen_matrix.h"

#include <ATen/ops/linear.h>
#include <ATen/ops/mm.h>
#include <torch/custom_class.h>

#include <utility>

#include "tensor/kit/shape.h"

namespace lococo {
namespace {

struct KeptMatrices : torch::CustomClassHolder {
  std::vector<FrozenMatrix> matrices;
};

}  // namespace

FrozenMatrix::FrozenMatrix(torch::Tensor dense_OE) : dense_OE_(std::move(dense_OE)) {
  CHECK_SHAPE(dense_OE_, -1, -1);
  TORCH_CHECK(!dense_OE_.requires_grad(), "a frozen matrix gets no gradient, this one wants one");
}

const torch::Tensor& FrozenMatrix::dense() const {
  TORCH_CHECK(is_dense(), "this matrix is not kept dense");
  return dense_OE_;
}

torch::Tensor FrozenMatrix::dequantised(torch::ScalarType dtype) const {
  return dense_OE_.to(dtype);
}

torch::Tensor FrozenMatrix::product(const torch::Tensor& x) const {
  return at::linear(x, dequantised(x.scalar_type()));
}

torch::Tensor FrozenMatrix::input_gradient(const torch::Tensor& dy_XO) const {
  return at::mm(dy_XO, dequantised(dy_XO.scalar_type()));
}

void FrozenMatrix::add_input_gradient(torch::Tensor& sum_XE, const torch::Tensor& dy_XO) const {
  sum_XE.addmm_(dy_XO, dequantised(dy_XO.scalar_type()));
}

c10::IValue keep_matrices(std::vector<FrozenMatrix> matrices) {
  auto kept = c10::make_intrusive<KeptMatrices>();
  kept->matrices = std::move(matrices);
  return c10::IValue::make_capsule(std::move(kept));
}

const std::vector<FrozenMatrix>& kept_matrices(const c10::IValue& kept) {
  return static_cast<KeptMatrices*>(kept.toCapsule().get())->matrices;
}

}  // namespace lococo
