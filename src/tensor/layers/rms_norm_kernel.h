// The CUDA kernels behind rms_norm() and add_rms_norm(): raw pointers and a stream, so that the .cu
// sees no torch header. Rows are contiguous and start at multiples of 16 bytes; sums are taken in
// float32 in a fixed order, so that results repeat.
#pragma once

#include <cstdint>

#include "tensor/kit/element_type.h"

struct CUstream_st;  // cudaStream_t without CUDA's headers

namespace lococo {

struct RmsNormShape {
  int64_t rows;                ///< > 0
  int64_t width;               ///< E, a multiple of 8 up to kRmsNormMaxWidth
  ElementType element;         ///< of x and everything shaped like it
  ElementType weight_element;  ///< of the weight
};

inline constexpr int64_t kRmsNormMaxWidth = 16384;

struct RmsNormForward {
  const void* x;         ///< [rows, width]
  const void* residual;  ///< [rows, width], or nullptr: nothing to add
  const void* weight;    ///< [width]
  void* sum;             ///< [rows, width], x + residual; not written without a residual
  void* normed;          ///< [rows, width]
  float* rstd;           ///< [rows], 1 / root of (mean square + epsilon) of the rounded sum
  float epsilon;
};

void launch_rms_norm_forward(const RmsNormForward& tensors, const RmsNormShape& shape,
                             CUstream_st* stream);

struct RmsNormBackward {
  const void* d_normed;  ///< [rows, width]
  const void* d_sum;     ///< [rows, width], or nullptr: 0
  const void* x;         ///< [rows, width], what was normed
  const void* weight;    ///< [width]
  const float* rstd;     ///< [rows]
  void* d_x;             ///< [rows, width], d_sum included
  float*
      d_weight;  ///< [rms_norm_chunks(rows), width], to be summed over chunks; nullptr: not wanted
};

/// Parts that the rows are dealt to for the weight's gradient; the same on every device.
int64_t rms_norm_chunks(int64_t rows);

void launch_rms_norm_backward(const RmsNormBackward& tensors, const RmsNormShape& shape,
                              CUstream_st* stream);

}  // namespace lococo
