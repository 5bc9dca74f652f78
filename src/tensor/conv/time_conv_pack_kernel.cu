#include "tensor/conv/time_conv_pack_kernel.h"

// The weight as the forward kernel's TMA loads it: a matrix of outputs by channels for each tap.
#include <cuda_bf16.h>

namespace lococo {
namespace {

constexpr int kPackChannels = 64;
constexpr int kPackThreads = 256;

/// One output and 64 channels: their taps are neighbours in the weight, its channels in the result.
__global__ void pack_kernel(const float* weight, __nv_bfloat16* packed, int channels, int outputs,
                            int taps) {
  extern __shared__ float tile[];  // [64, taps]: taps is odd, so a column has no bank conflicts
  const int64_t output = blockIdx.x;
  const int channel = blockIdx.y * kPackChannels;
  const float* from = weight + (output * channels + channel) * taps;
  for (int i = threadIdx.x; i < kPackChannels * taps; i += kPackThreads) tile[i] = from[i];
  __syncthreads();
  for (int i = threadIdx.x; i < kPackChannels * taps; i += kPackThreads) {
    const int tap = i / kPackChannels, c = i % kPackChannels;
    packed[(tap * static_cast<int64_t>(outputs) + output) * channels + channel + c] =
        __float2bfloat16_rn(tile[c * taps + tap]);
  }
}

}  // namespace

int launch_time_conv_pack(const float* weight, void* packed, const TimeConvShape& shape,
                          CUstream_st* stream) {
  const dim3 grid(static_cast<unsigned>(shape.outputs),
                  static_cast<unsigned>(shape.channels / kPackChannels));
  const auto bytes = static_cast<size_t>(kPackChannels * shape.taps) * sizeof(float);
  pack_kernel<<<grid, kPackThreads, bytes, stream>>>(
      weight, static_cast<__nv_bfloat16*>(packed), static_cast<int>(shape.channels),
      static_cast<int>(shape.outputs), static_cast<int>(shape.taps));
  return cudaGetLastError();
}

}  // namespace lococo
