// The CUDA kernel behind rotary(): raw pointers and a stream, so that the .cu sees no torch header.
#pragma once

#include <cstdint>

#include "tensor/kit/element_type.h"

struct CUstream_st;  // cudaStream_t without CUDA's headers

namespace lococo {

/// Of a tensor [B, H, L, D] whose last stride is 1, in elements.
struct RotaryStrides {
  int64_t batch, head, row;
};

struct RotaryCall {
  const void* x;
  void* out;
  RotaryStrides x_strides, out_strides;
  int64_t batches, heads, rows, width;  ///< B, H, L, D: D even, B H L D < 2^32
  const float* cos;                     ///< [rows, width]; only the first half of a row is read
  const float* sin;
  int64_t angle_stride;  ///< elements from a row of cos and of sin to the next
  const int* places;     ///< int32 [B, H, L]: the row of angles of each; null: row l has row l's
  float direction;       ///< 1 turns by the angles, -1 back
  ElementType element;   ///< of x and out
  bool vectorised;       ///< D is a multiple of 16, addresses and strides of 8 elements
};

/// out = x * cos + (-second half, first half) * direction * sin, in float32, rounded once.
void launch_rotary(const RotaryCall& call, CUstream_st* stream);

}  // namespace lococo
