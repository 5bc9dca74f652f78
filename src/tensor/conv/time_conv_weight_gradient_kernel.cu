#include "tensor/conv/time_conv_weight_gradient_kernel.h"

// dW[o, c, t] = sum over (sequence, row) of dy[row, o] x[row + t - (K - 1) / 2, c]: for each tap a
// matrix product of outputs by channels whose reduction runs over rows, so that both operands are
// read transposed.
//
// A unit of work is three taps of 64 kM outputs x kN channels: one tap for each of three
// warpgroups, which share the rows of dy and, each started a row later, those of x. The work of all
// units (steps of 64 rows) is one line, cut into equal pieces for the blocks of one wave. A block's
// piece may end one unit and begin another: it writes the sums of each part into a slot of its own,
// and a second kernel adds the slots of a unit in order, so that results repeat.
#include "tensor/conv/time_conv_gradient_plan.cuh"
#include "tensor/conv/time_conv_gradient_reduce_kernel.h"
#include "tensor/kit/hopper.cuh"

namespace lococo {
namespace {

using namespace hopper;
using namespace time_conv_gradient;

constexpr int kThreads = (kTaps + 1) * kWarpgroup;

template <class Tile>
struct GradientMemory {
  uint32_t base;
  __device__ uint32_t dy(int stage) const { return base + stage * Tile::kStageBytes; }
  __device__ uint32_t x(int stage) const { return dy(stage) + Tile::kXOffset; }
  __device__ uint32_t full(int stage) const { return base + Tile::kBarrierOffset + 8 * stage; }
  __device__ uint32_t empty(int stage) const { return full(Tile::kStages + stage); }
};

/// The part of a block's piece that lies in one unit.
struct Part {
  int unit;
  int64_t begin, end;  ///< steps of the line
};

__device__ __forceinline__ Part part_at(const Plan& plan, int64_t step, int64_t end) {
  const int64_t unit = step / plan.steps;
  const int64_t unit_end = (unit + 1) * plan.steps;
  return {static_cast<int>(unit), step, unit_end < end ? unit_end : end};
}

template <class Tile>
__device__ void load_steps(const GradientMemory<Tile>& memory, const CUtensorMap& x_map,
                           const CUtensorMap& dy_map, const GradientArguments& arguments) {
  const Plan& plan = arguments.plan;
  const int half = (arguments.taps - 1) / 2;
  const int64_t end = plan.begin(blockIdx.x + 1);
  Ring<Tile::kStages> ring;
  for (int64_t step = plan.begin(blockIdx.x); step < end;) {
    const Part part = part_at(plan, step, end);
    const int first_tap = part.unit % plan.tap_tiles * kTaps;
    const int tile = part.unit / plan.tap_tiles;
    const int first_output = tile % plan.output_tiles * Tile::kOutputs;
    const int first_channel = tile / plan.output_tiles * Tile::kN;
    const int within = static_cast<int>(part.begin - part.unit * plan.steps);
    int sequence = within / plan.row_steps, row = within % plan.row_steps * kStepRows;
    for (; step < part.end; ++step) {
      const uint32_t full = memory.full(ring.stage);
      barrier_wait(memory.empty(ring.stage), ring.phase ^ 1);
      barrier_expect(full, Tile::kLoadedBytes);
      for (int m = 0; m < Tile::kM; ++m)
        tma_load(memory.dy(ring.stage) + m * Tile::kDyBox, dy_map, full, first_output + 64 * m, row,
                 sequence);
      for (int n = 0; n < Tile::kN / 64; ++n)
        tma_load(memory.x(ring.stage) + n * Tile::kXBox, x_map, full, first_channel + 64 * n,
                 row + first_tap - half, sequence);
      ring.advance();
      row += kStepRows;
      if (row >= plan.row_steps * kStepRows) {
        row = 0;
        ++sequence;
      }
    }
  }
}

/// One step: 64 rows of every product.
template <class Tile>
__device__ __forceinline__ void multiply(uint32_t dy_stage, uint32_t x_stage, int tap, bool add,
                                         typename Tile::Sums& sums) {
  constexpr uint32_t kEights = 8 * kBoxRowBytes;
  const uint64_t dy = operand(dy_stage, kEights, Tile::kDyBox);
  const uint64_t x = operand(x_stage + tap * kBoxRowBytes, kEights, Tile::kXBox);
#pragma unroll
  for (int row = 0; row < kStepRows; row += 16) {
#pragma unroll
    for (int m = 0; m < Tile::kM; ++m) {
#pragma unroll
      for (int n = 0; n < Tile::kParts; ++n)
        wgmma<1>(sums[m * Tile::kParts + n],
                 dy + operand_step(m * Tile::kDyBox + row * kBoxRowBytes),
                 x + operand_step(n * (Tile::kWidth / 64) * Tile::kXBox + row * kBoxRowBytes),
                 add || row > 0);
    }
  }
}

/// A thread's sums lie in the slot as they lie in registers, four floats of all threads together:
/// [tap, 64 outputs, 8 channels, thread, 4].
template <class Tile>
__device__ __forceinline__ void store(float* slot, int warpgroup, int thread,
                                      const typename Tile::Sums& sums) {
  float4* to =
      reinterpret_cast<float4*>(slot) + warpgroup * (Tile::kUnitFloats / kTaps / 4) + thread;
  constexpr int kEights = Tile::kWidth / 8;
#pragma unroll
  for (int part = 0; part < Tile::kM * Tile::kParts; ++part) {
#pragma unroll
    for (int j = 0; j < kEights; ++j) {
      const float* four = &sums[part][4 * j];
      to[(part * kEights + j) * kWarpgroup] = make_float4(four[0], four[1], four[2], four[3]);
    }
  }
}

template <class Tile>
__global__ void __launch_bounds__(kThreads, 1)
    gradient_kernel(const __grid_constant__ CUtensorMap x_map,
                    const __grid_constant__ CUtensorMap dy_map,
                    const __grid_constant__ GradientArguments arguments) {
  extern __shared__ uint8_t shared[];
  const uint32_t start = shared_address(shared);
  const GradientMemory<Tile> memory{(start + kSwizzleBytes - 1) / kSwizzleBytes * kSwizzleBytes};
  if (threadIdx.x == 0) {
    for (int i = 0; i < Tile::kStages; ++i) {
      barrier_init(memory.full(i), 1);
      barrier_init(memory.empty(i), kTaps * kWarpgroup / 32);
    }
    barrier_init_fence();
  }
  __syncthreads();

  const int warpgroup = __shfl_sync(0xffffffff, threadIdx.x / kWarpgroup, 0);
  if (warpgroup == kTaps) {
    fewer_registers<32>();
    if (threadIdx.x == kTaps * kWarpgroup) load_steps<Tile>(memory, x_map, dy_map, arguments);
    return;
  }
  more_registers<160>();
  const Plan& plan = arguments.plan;
  const bool leader = threadIdx.x % 32 == 0;
  const int64_t end = plan.begin(blockIdx.x + 1);
  Ring<Tile::kStages> ring;
  for (int64_t step = plan.begin(blockIdx.x); step < end;) {
    const Part part = part_at(plan, step, end);
    const int steps = static_cast<int>(part.end - part.begin);
    typename Tile::Sums sums;
#pragma unroll 1
    for (int i = 0; i < steps; ++i) {
      barrier_wait(memory.full(ring.stage), ring.phase);
      wgmma_fence();
      multiply<Tile>(memory.dy(ring.stage), memory.x(ring.stage), warpgroup, i > 0, sums);
      wgmma_commit();
      wgmma_wait<1>();
      if (leader && i > 0) barrier_arrive(memory.empty(ring.previous()));
      ring.advance();
    }
    wgmma_wait<0>();
#pragma unroll
    for (auto& product : sums) wgmma_settle(product);
    if (leader) barrier_arrive(memory.empty(ring.previous()));
    store<Tile>(arguments.workspace +
                    static_cast<int64_t>(plan.slot(blockIdx.x, part.unit)) * Tile::kUnitFloats,
                warpgroup, threadIdx.x % kWarpgroup, sums);
    step = part.end;
  }
}

template <class Tile>
struct Gradient {
  static int64_t workspace_size(const TimeConvShape& shape, int processors) {
    return plan_of<Tile>(shape, processors).slots() * Tile::kUnitFloats;
  }

  static int launch(const void* x, const void* dy, float* workspace, float* dw,
                    const TimeConvShape& shape, int processors, cudaStream_t stream) {
    CUtensorMap x_map, dy_map;
    if (!encode_map(&x_map, x, shape.sequences, shape.rows, shape.channels, Tile::kXRows) ||
        !encode_map(&dy_map, dy, shape.sequences, shape.rows, shape.outputs, kStepRows))
      return cudaErrorInvalidValue;
    const auto kernel = gradient_kernel<Tile>;
    const auto error = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                            Tile::kSharedBytes);
    if (error != cudaSuccess) return error;
    const GradientArguments arguments = {plan_of<Tile>(shape, processors),
                                         workspace,
                                         dw,
                                         static_cast<int>(shape.channels),
                                         static_cast<int>(shape.outputs),
                                         static_cast<int>(shape.taps)};
    kernel<<<arguments.plan.blocks, kThreads, Tile::kSharedBytes, stream>>>(x_map, dy_map,
                                                                            arguments);
    return launch_time_conv_gradient_reduce(arguments, shape, stream);
  }
};

}  // namespace

int64_t time_conv_workspace_size(const TimeConvShape& shape, int processors) {
  return with_tile(shape, [&](auto tile) {
    return Gradient<decltype(tile)>::workspace_size(shape, processors);
  });
}

int launch_time_conv_weight_gradient(const void* x, const void* dy, float* workspace, float* dw,
                                     const TimeConvShape& shape, int processors,
                                     CUstream_st* stream) {
  return with_tile(shape, [&](auto tile) {
    return Gradient<decltype(tile)>::launch(x, dy, workspace, dw, shape, processors, stream);
  });
}

}  // namespace lococo
