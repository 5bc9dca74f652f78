// A weight matrix that is not trained, in whatever form it is kept: what multiplies with it asks
// here and does not see the form.
#pragma once

#include <ATen/core/ivalue.h>
#include <torch/types.h>

#include <cstdint>
#include <utility>
#include <vector>

#include "config/model_config.h"
#include "tensor/frozen/fp8.h"
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
  /// In 8 bits. Where fp8_takes() the input, that is rounded to 8 bits too, and so is the gradient
  /// of an output where the matrix has the codes of gradients; else products make it dense.
  explicit FrozenMatrix(Fp8Matrix fp8) : fp8_(std::move(fp8)) {}

  bool defined() const { return is_dense() || is_fp8() || nf4_.codes_P.defined(); }
  int64_t out_features() const;
  int64_t in_features() const;
  /// All tensors that hold it.
  std::vector<torch::Tensor> parts() const;
  int64_t bytes() const;  ///< of all parts

  /// Whether it is a dense matrix, which dense() then returns: for kernels that read one.
  bool is_dense() const { return dense_OE_.defined(); }
  const torch::Tensor& dense() const;
  /// The same of the other forms.
  bool is_fp8() const { return fp8_.defined(); }
  const Fp8Matrix& fp8() const { return fp8_; }
  bool is_nf4() const { return nf4_.codes_P.defined(); }
  const Nf4Matrix& nf4() const { return nf4_; }
  /// [O, E] in `dtype`; the matrix itself where it is kept so.
  torch::Tensor dequantised(torch::ScalarType dtype) const;

  /// The same for several products with inputs of `dtype`: in 4 bits, of which each would make it
  /// dense, it is made dense now.
  FrozenMatrix for_products(torch::ScalarType dtype) const;

  /// Whether products with x are those of 8-bit numbers.
  bool takes_fp8(const torch::Tensor& x) const;

  /// x W' for x [.., E] -> [.., O], in the dtype of x.
  torch::Tensor product(const torch::Tensor& x) const;
  /// dy W for dy_XO -> [X, E], in the dtype of dy.
  torch::Tensor input_gradient(const torch::Tensor& dy_XO) const;
  /// sum_XE += dy W.
  void add_input_gradient(torch::Tensor& sum_XE, const torch::Tensor& dy_XO) const;

 private:
  torch::Tensor dense_OE_;
  Nf4Matrix nf4_;  ///< one of the three is defined
  Fp8Matrix fp8_;
};

/// product() of one input x [.., E] with several matrices: it is brought into their form once.
std::vector<torch::Tensor> products(const std::vector<FrozenMatrix>& matrices,
                                    const torch::Tensor& x);

/// values_OE, finite, as `precision` keeps them, on their device; auto: dense, as they are.
/// `gradients`: with what input_gradient() needs to be fast.
FrozenMatrix quantise(const torch::Tensor& values_OE, BasePrecision precision,
                      bool gradients = false);

/// Bytes of a matrix [O, E], whose dense elements take `dense_element` bytes, after quantise().
int64_t matrix_bytes(int64_t out_features, int64_t in_features, int64_t dense_element,
                     BasePrecision precision, bool gradients);

/// Matrices as an autograd context's saved_data takes them, and back.
c10::IValue keep_matrices(std::vector<FrozenMatrix> matrices);
const std::vector<FrozenMatrix>& kept_matrices(const c10::IValue& kept);

}  // namespace lococo
