// The CUDA kernels behind swiglu(): raw pointers and a stream, so that the .cu sees no torch
// header.
#pragma once

#include <cstdint>

#include "tensor/kit/element_type.h"

struct CUstream_st;  // cudaStream_t without CUDA's headers

namespace lococo {

/// Addresses and strides are multiples of 8 elements, and rows start 16-byte aligned.
struct SwigluShape {
  int64_t rows, width;             ///< rows * width / 8 < 2^31, width a multiple of 8
  int64_t gate_stride, up_stride;  ///< elements from a row to the next
  ElementType element;             ///< of every tensor
};

/// out [rows, width] = silu(gate) * up in float32, rounded once.
void launch_swiglu(const void* gate, const void* up, void* out, const SwigluShape& shape,
                   CUstream_st* stream);

/// d_out, d_gate and d_up are contiguous [rows, width].
void launch_swiglu_backward(const void* d_out, const void* gate, const void* up, void* d_gate,
                            void* d_up, const SwigluShape& shape, CUstream_st* stream);

}  // namespace lococo
