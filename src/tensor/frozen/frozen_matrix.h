// A weight matrix that is not trained, in whatever form it is kept: what multiplies with it asks
// here and does not see the form.
#pragma once

#include <ATen/core/ivalue.h>
#include <torch/types.h>

#include <cstdint>
#include <utility>
#include <vector>

#include "config/model_config.h"
#include "tensor/frozen/nf4.h"

namespace lococo {

/// A handle: copies share memory. [O, E] in the names below; no gradient ever reaches the matrix,
/// and none is recorded through it: products are for Functions of autograd and for NoGradGuard.
class FrozenMatrix {
 public:
  FrozenMatrix() = default;
  /// A dense matrix of floating point as it is. Implicit, because that is the plainest form. Throws
  /// for one that requires a gradient: it would silently get none.
  FrozenMatrix(torch::Tensor dense_OE);  // NOLINT(google-explicit-constructor)
  /// In 4 bits. Its products make it dense for a moment, in the dtype of their input.
  explicit FrozenMatrix(Nf4Matrix nf4) : nf4_(std::move(nf4)) {}

  bool defined() const { return is_dense() || nf4_.codes_P.defined(); }
  int64_t out_features() const { return is_dense() ? dense_OE_.size(0) : nf4_.out_features; }
  int64_t in_features() const { return is_dense() ? dense_OE_.size(1) : nf4_.in_features; }
  /// All tensors that hold it.
  std::vector<torch::Tensor> parts() const;
  int64_t bytes() const;  ///< of all parts

  /// Whether it is a dense matrix, which dense() then returns: for kernels that read one.
  bool is_dense() const { return dense_OE_.defined(); }
  const torch::Tensor& dense() const;
  /// [O, E] in `dtype`; the matrix itself where it is kept so.
  torch::Tensor dequantised(torch::ScalarType dtype) const;

  /// x W' for x [.., E] -> [.., O], in the dtype of x.
  torch::Tensor product(const torch::Tensor& x) const;
  /// dy W for dy_XO -> [X, E], in the dtype of dy.
  torch::Tensor input_gradient(const torch::Tensor& dy_XO) const;
  /// sum_XE += dy W.
  void add_input_gradient(torch::Tensor& sum_XE, const torch::Tensor& dy_XO) const;

 private:
  torch::Tensor dense_OE_;
  Nf4Matrix nf4_;  ///< where it is not dense
};

/// values_OE, finite, as `precision` keeps them, on their device; auto: dense, as they are.
FrozenMatrix quantise(const torch::Tensor& values_OE, BasePrecision precision);

/// Bytes of a matrix of so many elements, whose dense elements take `dense_element` bytes.
int64_t matrix_bytes(int64_t elements, int64_t dense_element, BasePrecision precision);

/// Matrices as an autograd context's saved_data takes them, and back.
c10::IValue keep_matrices(std::vector<FrozenMatrix> matrices);
const std::vector<FrozenMatrix>& kept_matrices(const c10::IValue& kept);

}  // namespace lococo
