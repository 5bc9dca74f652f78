// NF4 with double quantisation (QLoRA, arXiv 2305.14314), byte for byte as bitsandbytes keeps it.
#pragma once

#include <torch/types.h>

#include <cstdint>

namespace lococo {

/// Values, row after row, in blocks of 64, each with the largest magnitude of its block as scale;
/// the last block is filled up with zeros. P pairs of values, S blocks, T groups of 256 blocks.
struct Nf4Matrix {
  int64_t out_features = 0, in_features = 0;
  /// uint8, P = 32 S: places in the table of 16 values, the first of a pair in the upper 4 bits.
  torch::Tensor codes_P;
  /// uint8: scale minus `offset` in 8 bits (dynamic tree quantisation, arXiv 2110.02861), in parts
  /// of the group's largest.
  torch::Tensor scale_codes_S;
  torch::Tensor group_scales_T;  ///< float32
  torch::Tensor offset;          ///< float32, 0-dim: the mean of all scales

  int64_t elements() const { return out_features * in_features; }
};

/// What a matrix of so many elements takes: 4 bits each, and 0.127 for the scales.
int64_t nf4_bytes(int64_t elements);

/// values_OE of any floating dtype, finite, on the device where the result is kept. Temporary
/// memory beside it: a few million elements.
Nf4Matrix nf4_quantise(const torch::Tensor& values_OE);

/// [O, E] in `dtype`: the product of table value and scale in float32, rounded once. No wait for
/// the device. The fast path is a kernel, for bfloat16 and float32 on a GPU, to the bit what the
/// other computes; that needs temporary memory of a few million elements beside the result.
torch::Tensor nf4_dequantise(const Nf4Matrix& matrix, torch::ScalarType dtype);
torch::Tensor nf4_dequantise_reference(const Nf4Matrix& matrix, torch::ScalarType dtype);

/// The scales of all blocks, float32 [S], as nf4_dequantise() uses them.
torch::Tensor nf4_scales(const Nf4Matrix& matrix);

}  // namespace lococo
