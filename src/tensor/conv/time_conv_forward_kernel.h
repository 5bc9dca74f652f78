// The CUDA kernel of the convolution over time, for devices of compute capability 9.0: raw pointers
// and a stream, so that the .cu sees no torch header. The launch returns a cudaError_t.
#pragma once

#include "tensor/conv/time_conv_shape.h"

struct CUstream_st;  // cudaStream_t without CUDA's headers

namespace lococo {

/// x bfloat16 [X, S, C], weight as launch_time_conv_pack packed it, bias float32 [O] -> y bfloat16
/// [X, S, O]. x, packed and y are aligned to 16 bytes.
int launch_time_conv_forward(const void* x, const void* packed, const float* bias, void* y,
                             bool relu, const TimeConvShape& shape, CUstream_st* stream);

}  // namespace lococo
