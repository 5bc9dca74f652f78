// The CUDA kernel behind fp8_rows(): raw pointers and a stream, so that the .cu sees no torch
// header.
#pragma once

#include <cstdint>

#include "tensor/kit/element_type.h"

struct CUstream_st;  // cudaStream_t without CUDA's headers

namespace lococo {

inline constexpr float kFp8Largest = 448.0F;
/// A scale is the row's largest magnitude times this; both forms multiply, so that they agree.
inline constexpr float kFp8Part = 1.0F / kFp8Largest;
/// The largest magnitude of a row counts as at least this.
inline constexpr float kFp8Smallest = 1e-30F;
inline constexpr int64_t kFp8MostWidth = 32768;

/// Contiguous, multiples of 16 bytes.
struct Fp8RowsTensors {
  const void* x = nullptr;        ///< [X, E] of `element`
  const float* factor = nullptr;  ///< [E], or nullptr: ones
  void* codes = nullptr;          ///< e4m3, [X, E]
  float* scale = nullptr;         ///< [X]
};

/// `width` is a multiple of 8 and at most kFp8MostWidth; 1 <= rows < 2^31.
void launch_fp8_rows(const Fp8RowsTensors& tensors, int64_t rows, int64_t width,
                     ElementType element, CUstream_st* stream);

}  // namespace lococo
