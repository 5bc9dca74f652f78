// The CUDA kernel that adds up the sums of the weights' gradient of the convolution over time, for
// devices of compute capability 9.0. launch_time_conv_weight_gradient launches it behind its own.
#pragma once

#include "tensor/conv/time_conv_shape.h"

struct CUstream_st;  // cudaStream_t without CUDA's headers

namespace lococo {

namespace time_conv_gradient {
struct GradientArguments;
}

/// The slots of the arguments' workspace -> their dw float32 [O, C, K]. Returns a cudaError_t, also
/// that of a launch before it.
int launch_time_conv_gradient_reduce(const time_conv_gradient::GradientArguments& arguments,
                                     const TimeConvShape& shape, CUstream_st* stream);

}  // namespace lococo
