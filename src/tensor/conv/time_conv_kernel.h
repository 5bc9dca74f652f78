// The CUDA kernels behind time_conv.h, for devices of compute capability 9.0: raw pointers and a
// stream, so that the .cu files see no torch header. Each launch returns a cudaError_t.
#pragma once

#include <cstdint>

struct CUstream_st;  // cudaStream_t without CUDA's headers

namespace lococo {

struct TimeConvShape {
  int64_t sequences;  ///< X
  int64_t rows;       ///< S
  int64_t channels;   ///< C, a multiple of 64
  int64_t outputs;    ///< O, a multiple of 8
  int64_t taps;       ///< K, odd and at most kTimeConvMaxTaps
};

inline constexpr int64_t kTimeConvMaxTaps = 63;

/// weight float32 [O, C, K] -> packed bfloat16 [K, O, C], the layout of the forward kernel.
int launch_time_conv_pack(const float* weight, void* packed, const TimeConvShape& shape,
                          CUstream_st* stream);

/// x bfloat16 [X, S, C], packed weight, bias float32 [O] -> y bfloat16 [X, S, O]. x, packed and y
/// are aligned to 16 bytes.
int launch_time_conv_forward(const void* x, const void* packed, const float* bias, void* y,
                             bool relu, const TimeConvShape& shape, CUstream_st* stream);

/// How many floats launch_time_conv_weight_gradient needs to work in on a device with that many
/// multiprocessors.
int64_t time_conv_workspace_size(const TimeConvShape& shape, int processors);

/// x bfloat16 [X, S, C], dy bfloat16 [X, S, O], both aligned to 16 bytes -> dw float32 [O, C, K].
int launch_time_conv_weight_gradient(const void* x, const void* dy, float* workspace, float* dw,
                                     const TimeConvShape& shape, int processors,
                                     CUstream_st* stream);

}  // namespace lococo
