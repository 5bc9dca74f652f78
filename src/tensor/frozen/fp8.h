// Matrices of 8-bit floating point (e4m3: 4 bits of exponent, 3 of mantissa, up to 448; arXiv
// 2209.05433) with a scale for each row, and their products with inputs that are brought into the
// same form while they are multiplied.
#pragma once

#include <torch/types.h>

#include <cstdint>

namespace lococo {

/// Rows of values: code * scale of the row. X rows of width E.
struct Fp8Rows {
  torch::Tensor codes_XE;  ///< float8_e4m3fn, contiguous
  torch::Tensor scale_X;   ///< float32: the row's largest magnitude / 448
};

/// x_XE, of any floating dtype, times factor_E (float32) where that is given, each row rounded to
/// nearest in parts of its largest magnitude. A value that is not finite makes its row's products
/// NaN. The fast path is one kernel, for bfloat16 and float32 on a GPU and a width that is a
/// multiple of 8 and at most 32,768; of finite rows to the bit what the other computes. No wait for
/// the device.
Fp8Rows fp8_rows(const torch::Tensor& x_XE, const torch::Tensor& factor_E = {});
Fp8Rows fp8_rows_reference(const torch::Tensor& x_XE, const torch::Tensor& factor_E = {});

/// A weight matrix. The tensor cores take the inner dimension of a product innermost, so that a
/// gradient of the input needs the same codes in the other order. They are kept, which is cheaper
/// than to turn them for each block, and exact: a gradient is that of the values that forward
/// multiplied with, the scales having gone into the gradient of the output.
struct Fp8Matrix {
  Fp8Rows rows_OE;
  torch::Tensor codes_EO;  ///< undefined where no gradient is wanted
  torch::Tensor ones_E;    ///< float32, the scales of `codes_EO`

  bool defined() const { return rows_OE.codes_XE.defined(); }
};

/// What a matrix takes: 8 bits a value, and a scale a row; twice with `gradients`.
int64_t fp8_bytes(int64_t out_features, int64_t in_features, bool gradients);

/// values_OE of any floating dtype, finite, on the device where the result is kept.
Fp8Matrix fp8_quantise(const torch::Tensor& values_OE, bool gradients);

/// [O, E] in `dtype`: code * scale in float32, rounded once. No wait for the device.
torch::Tensor fp8_dequantise(const Fp8Rows& rows, torch::ScalarType dtype);

/// cuBLASLt asks both sizes of a matrix to be multiples of it.
inline constexpr int64_t kFp8SizeStep = 16;

/// Whether the device multiplies 8-bit numbers: a GPU of compute capability 8.9 or more.
bool fp8_multiplies_on(torch::Device device);
/// Whether the functions below have a fast path for inputs like x_XE: bfloat16 on such a device,
/// both sizes of the matrix multiples of kFp8SizeStep. Else a product makes the matrix dense, which
/// keeps the input as it is.
bool fp8_takes(const torch::Tensor& x_XE, int64_t out_features, int64_t in_features);

/// x W' for x_XE in rows -> [X, O] in bfloat16, summed by the tensor cores.
torch::Tensor fp8_product(const Fp8Rows& x_XE, const Fp8Matrix& matrix);
/// dy W for dy_XO -> [X, E] in bfloat16, for a matrix with the codes of gradients. `dy_XO` are
/// fp8_rows(dy, matrix.rows_OE.scale_X).
torch::Tensor fp8_input_gradient(const Fp8Rows& dy_XO, const Fp8Matrix& matrix);

/// The same by a product in float32 of the values that the codes mean, rounded to `dtype`.
torch::Tensor fp8_product_reference(const Fp8Rows& x_XE, const Fp8Matrix& matrix,
                                    torch::ScalarType dtype);
torch::Tensor fp8_input_gradient_reference(const Fp8Rows& dy_XO, const Fp8Matrix& matrix,
                                           torch::ScalarType dtype);

}  // namespace lococo
