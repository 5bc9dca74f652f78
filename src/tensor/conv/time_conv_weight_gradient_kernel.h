// The CUDA kernel of the weights' gradient of the convolution over time, for devices of compute
// capability 9.0: raw pointers and a stream, so that the .cu sees no torch header. Each launch
// returns a cudaError_t.
#pragma once

#include "tensor/conv/time_conv_shape.h"

struct CUstream_st;  // cudaStream_t without CUDA's headers

namespace lococo {

/// How many floats launch_time_conv_weight_gradient needs to work in on a device with that many
/// multiprocessors.
int64_t time_conv_workspace_size(const TimeConvShape& shape, int processors);

/// x bfloat16 [X, S, C], dy bfloat16 [X, S, O], both aligned to 16 bytes -> dw float32 [O, C, K].
int launch_time_conv_weight_gradient(const void* x, const void* dy, float* workspace, float* dw,
                                     const TimeConvShape& shape, int processors,
                                     CUstream_st* stream);

}  // namespace lococo
