#include "tensor/conv/time_conv_gradient_reduce_kernel.h"

// The slots of a unit, laid out as store() of time_conv_weight_gradient_kernel.cu leaves them, are
// added in the order of the blocks that wrote them, so that results repeat.
#include "tensor/conv/time_conv_gradient_plan.cuh"

namespace lococo {
namespace {

using namespace time_conv_gradient;

constexpr int kReduceWarps = 8;

/// The slots' sums of 16 outputs (what one warp holds) x 8 channels, all taps, into dw [O, C, K].
template <class Tile>
__global__ void __launch_bounds__(32 * kReduceWarps, 4)
    reduce_kernel(const __grid_constant__ GradientArguments arguments) {
  extern __shared__ float tile[];  // [16, 8, taps]
  const Plan& plan = arguments.plan;
  const int K = arguments.taps;
  const int lane = threadIdx.x % 32;
  const int first_channel = blockIdx.x * 8, first_output = blockIdx.y * 16;
  const int unit_tile =
      first_channel / Tile::kN * plan.output_tiles + first_output / Tile::kOutputs;
  const int m = first_output % Tile::kOutputs / 64, j = first_channel % Tile::kN / 8;
  const int thread = first_output % 64 / 16 * 32 + lane;
  const int64_t within = (static_cast<int64_t>(m) * (Tile::kN / 8) + j) * kWarpgroup + thread;
  for (int tap = threadIdx.x / 32; tap < K; tap += kReduceWarps) {
    const int unit = unit_tile * plan.tap_tiles + tap / kTaps;
    const int last = plan.block_of((unit + 1) * plan.steps - 1);
    float4 sum = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
    for (int block = plan.block_of(unit * plan.steps); block <= last; ++block) {
      const float* slot =
          arguments.workspace + static_cast<int64_t>(plan.slot(block, unit)) * Tile::kUnitFloats;
      const float4 part = reinterpret_cast<const float4*>(
          slot)[tap % kTaps * (Tile::kUnitFloats / kTaps / 4) + within];
      sum.x += part.x;
      sum.y += part.y;
      sum.z += part.z;
      sum.w += part.w;
    }
    float* to = tile + (lane / 4 * 8 + lane % 4 * 2) * K + tap;
    to[0] = sum.x;
    to[K] = sum.y;
    to[8 * 8 * K] = sum.z;  // eight outputs on
    to[8 * 8 * K + K] = sum.w;
  }
  __syncthreads();
  for (int i = threadIdx.x; i < 16 * 8 * K; i += 32 * kReduceWarps) {
    const int64_t output = first_output + i / (8 * K);
    if (output < arguments.outputs)
      arguments.dw[(output * arguments.channels + first_channel) * K + i % (8 * K)] = tile[i];
  }
}

template <class Tile>
int launch_reduce(const GradientArguments& arguments, const TimeConvShape& shape,
                  cudaStream_t stream) {
  const dim3 grid(static_cast<unsigned>(shape.channels / 8),
                  static_cast<unsigned>((shape.outputs + 15) / 16));
  const auto bytes = static_cast<size_t>(16 * 8 * shape.taps) * sizeof(float);
  reduce_kernel<Tile><<<grid, 32 * kReduceWarps, bytes, stream>>>(arguments);
  return cudaGetLastError();
}

}  // namespace

int launch_time_conv_gradient_reduce(const time_conv_gradient::GradientArguments& arguments,
                                     const TimeConvShape& shape, CUstream_st* stream) {
  return with_tile(
      shape, [&](auto tile) { return launch_reduce<decltype(tile)>(arguments, shape, stream); });
}

}  // namespace lococo
