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

int64_t FrozenMatrix::out_features() const {
  if (is_dense()) return dense_OE_.size(0);
  return is_fp8() ? fp8_.rows_OE.codes_XE.size(0) : nf4_.out_features;
}

int64_t FrozenMatrix::in_features() const {
  if (is_dense()) return dense_OE_.size(1);
  return is_fp8() ? fp8_.rows_OE.codes_XE.size(1) : nf4_.in_features;
}

std::vector<torch::Tensor> FrozenMatrix::parts() const {
  if (is_dense()) return {dense_OE_};
  if (is_nf4()) return {nf4_.codes_P, nf4_.scale_codes_S, nf4_.group_scales_T, nf4_.offset};
  std::vector<torch::Tensor> parts = {fp8_.rows_OE.codes_XE, fp8_.rows_OE.scale_X};
  if (fp8_.codes_EO.defined()) parts.insert(parts.end(), {fp8_.codes_EO, fp8_.ones_E});
  return parts;
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
  if (is_dense()) return dense_OE_.to(dtype);
  return is_fp8() ? fp8_dequantise(fp8_.rows_OE, dtype) : nf4_dequantise(nf4_, dtype);
}

FrozenMatrix FrozenMatrix::for_products(torch::ScalarType dtype) const {
  return is_nf4() ? FrozenMatrix(dequantised(dtype)) : *this;
}

bool FrozenMatrix::takes_fp8(const torch::Tensor& x) const {
  return is_fp8() && fp8_takes(x, out_features(), in_features());
}

torch::Tensor FrozenMatrix::product(const torch::Tensor& x) const {
  return takes_fp8(x) ? products({*this}, x)[0] : at::linear(x, dequantised(x.scalar_type()));
}

torch::Tensor FrozenMatrix::input_gradient(const torch::Tensor& dy_XO) const {
  if (takes_fp8(dy_XO) && fp8_.codes_EO.defined())
    return fp8_input_gradient(fp8_rows(dy_XO, fp8_.rows_OE.scale_X), fp8_);
  return at::mm(dy_XO, dequantised(dy_XO.scalar_type()));
}

void FrozenMatrix::add_input_gradient(torch::Tensor& sum_XE, const torch::Tensor& dy_XO) const {
  if (takes_fp8(dy_XO) && fp8_.codes_EO.defined()) {
    sum_XE.add_(input_gradient(dy_XO));
  } else {
    sum_XE.addmm_(dy_XO, dequantised(dy_XO.scalar_type()));
  }
}

std::vector<torch::Tensor> products(const std::vector<FrozenMatrix>& matrices,
                                    const torch::Tensor& x) {
  std::vector<torch::Tensor> results;
  Fp8Rows rows;
  auto sizes = x.sizes().vec();
  for (const auto& matrix : matrices) {
    if (!matrix.takes_fp8(x)) {
      results.push_back(matrix.product(x));
      continue;
    }
    if (!rows.codes_XE.defined()) rows = fp8_rows(x.reshape({-1, x.size(-1)}));
    sizes.back() = matrix.out_features();
    results.push_back(fp8_product(rows, matrix.fp8()).view(sizes));
  }
  return results;
}

FrozenMatrix quantise(const torch::Tensor& values_OE, BasePrecision precision, bool gradients) {
  switch (precision) {
    case BasePrecision::kAuto:
      return values_OE.detach();
    case BasePrecision::kFp8:
      return FrozenMatrix(fp8_quantise(values_OE, gradients));
    case BasePrecision::kNf4:
      return FrozenMatrix(nf4_quantise(values_OE));
  }
  TORCH_CHECK(false, "unknown precision");
}

int64_t matrix_bytes(int64_t out_features, int64_t in_features, int64_t dense_element,
                     BasePrecision precision, bool gradients) {
  switch (precision) {
    case BasePrecision::kAuto:
      return out_features * in_features * dense_element;
    case BasePrecision::kFp8:
      return fp8_bytes(out_features, in_features, gradients);
    case BasePrecision::kNf4:
      return nf4_bytes(out_features * in_features);
  }
  TORCH_CHECK(false, "unknown precision");
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
