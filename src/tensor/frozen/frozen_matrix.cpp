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

std::vector<torch::Tensor> FrozenMatrix::parts() const {
  if (is_dense()) return {dense_OE_};
  return {nf4_.codes_P, nf4_.scale_codes_S, nf4_.group_scales_T, nf4_.offset};
}

int64_t FrozenMatrix::bytes() const {
  int64_t bytes = 0;
  for (const auto& part : parts()) bytes += static_cast<int64_t>(part.nbytes());
  return bytes;
}

const torch::Tensor& FrozenMatrix::dense() const {
  TORCH_CHECK(is_dense(), "this matrix is not kept dense");
  return dense_OE_;
}

torch::Tensor FrozenMatrix::dequantised(torch::ScalarType dtype) const {
  return is_dense() ? dense_OE_.to(dtype) : nf4_dequantise(nf4_, dtype);
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

FrozenMatrix quantise(const torch::Tensor& values_OE, BasePrecision precision) {
  switch (precision) {
    case BasePrecision::kAuto:
      return values_OE.detach();
    case BasePrecision::kNf4:
      return FrozenMatrix(nf4_quantise(values_OE));
  }
  TORCH_CHECK(false, "unknown precision");
}

int64_t matrix_bytes(int64_t elements, int64_t dense_element, BasePrecision precision) {
  return precision == BasePrecision::kNf4 ? nf4_bytes(elements) : elements * dense_element;
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
