// The CUDA kernel that packs the weight of the convolution over time for its forward kernel, for
// devices of compute capability 9.0: raw pointers and a stream, so that the .cu sees no torch
// header. The launch returns a cudaError_t.
#pragma once

#include "tensor/conv/time_conv_shape.h"

struct CUstream_st;  // cudaStream_t without CUDA's headers

namespace lococo {

/// weight float32 [O, C, K] -> packed bfloat16 [K, O, C], the layout of the forward kernel.
int launch_time_conv_pack(const float* weight, void* packed, const TimeConvShape& shape,
                          CUstream_st* stream);

}  // namespace lococo
