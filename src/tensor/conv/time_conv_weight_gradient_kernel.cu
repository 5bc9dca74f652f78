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
#include <algorithm>

#include "tensor/kit/hopper.cuh"

namespace lococo {
namespace {

using namespace hopper;

constexpr int kWarpgroup = 128;
constexpr int kTaps = 3;  // of a unit, one for each computing warpgroup
constexpr int kThreads = (kTaps + 1) * kWarpgroup;
constexpr int kStepRows = 64;

/// How the work is cut. All counts fit into an int; products of them may not.
struct Plan {
  int output_tiles, channel_tiles, tap_tiles;
  int units;          ///< the product of the three
  int row_steps;      ///< of one sequence
  int64_t steps;      ///< of one unit
  int64_t all_steps;  ///< of all units
  int blocks;

  /// Block b takes the steps from begin(b) to begin(b + 1).
  __host__ __device__ int64_t begin(int64_t block) const { return block * all_steps / blocks; }
  /// The block that takes that step: the last one with begin(block) <= step.
  __host__ __device__ int block_of(int64_t step) const {
    return static_cast<int>(((step + 1) * blocks - 1) / all_steps);
  }
  /// Where `block` writes its sums of `unit`. From one part of the line to the next, block or unit
  /// grow, so no two parts share a slot.
  __host__ __device__ int slot(int block, int unit) const { return block + unit; }
  int64_t slots() const { return static_cast<int64_t>(blocks) + units - 1; }
};

struct GradientArguments {
  Plan plan;
  float* workspace;
  float* dw;
  int channels, outputs, taps;
};

template <int kMChunks, int kNChannels>
struct GradientTile {
  static constexpr int kM = kMChunks, kN = kNChannels;
  static constexpr int kOutputs = 64 * kM;
  /// Channels of one product. The compiler must fit its sums into the registers a thread starts
  /// with, not those it asks for later, so 256 channels take two.
  static constexpr int kWidth = kN < 128 ? kN : 128;
  static constexpr int kParts = kN / kWidth;
  using Sums = float[kM * kParts][kWidth / 2];
  static constexpr int kUnitFloats = kTaps * kOutputs * kN;

  static constexpr int kDyBox = kStepRows * kBoxRowBytes;
  static constexpr int kXRows = kStepRows + kTaps - 1;
  static constexpr int kXBox =
      (kXRows * kBoxRowBytes + kSwizzleBytes - 1) / kSwizzleBytes * kSwizzleBytes;
  static constexpr int kXOffset = kM * kDyBox;
  static constexpr int kStageBytes = kXOffset + kN / 64 * kXBox;
  static constexpr int kLoadedBytes = kM * kDyBox + kN / 64 * kXRows * kBoxRowBytes;
  static constexpr int kStages = 229376 / kStageBytes < 8 ? 229376 / kStageBytes : 8;
  static constexpr int kBarrierOffset = kStages * kStageBytes;
  static constexpr int kSharedBytes = kSwizzleBytes + kBarrierOffset + 8 * 2 * kStages;
  static_assert(kStages >= 3 && kSharedBytes <= 232448);
};

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
Plan plan_of(const TimeConvShape& shape, int processors) {
  const auto tiles = [](int64_t size, int64_t tile) {
    return static_cast<int>((size + tile - 1) / tile);
  };
  Plan plan;
  plan.output_tiles = tiles(shape.outputs, Tile::kOutputs);
  plan.channel_tiles = tiles(shape.channels, Tile::kN);
  plan.tap_tiles = tiles(shape.taps, kTaps);
  plan.units = plan.output_tiles * plan.channel_tiles * plan.tap_tiles;
  plan.row_steps = tiles(shape.rows, kStepRows);
  plan.steps = shape.sequences * plan.row_steps;
  plan.all_steps = plan.units * plan.steps;
  constexpr int64_t kFewSteps = 8;  // fewer are not worth the sums that a block writes
  plan.blocks = static_cast<int>(
      std::min<int64_t>(processors, std::max<int64_t>(1, plan.all_steps / kFewSteps)));
  return plan;
}

template <class Tile>
struct Gradient {
  static int64_t workspace_size(const TimeConvShape& shape, int processors) {
    return plan_of<Tile>(shape, processors).slots() * Tile::kUnitFloats;
  }

  static cudaError_t launch(const void* x, const void* dy, float* workspace, float* dw,
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
    const dim3 grid(static_cast<unsigned>(shape.channels / 8),
                    static_cast<unsigned>((shape.outputs + 15) / 16));
    const auto bytes = static_cast<size_t>(16 * 8 * shape.taps) * sizeof(float);
    reduce_kernel<Tile><<<grid, 32 * kReduceWarps, bytes, stream>>>(arguments);
    return cudaGetLastError();
  }
};

/// Calls `use` with the tile for a shape: as many channels as one product takes, then as many
/// outputs as there are registers for.
template <class Use>
auto with_tile(const TimeConvShape& shape, Use use) {
  if (shape.channels % 256 == 0) return use(Gradient<GradientTile<1, 256>>());
  if (shape.channels % 128 != 0) return use(Gradient<GradientTile<2, 64>>());
  if (shape.outputs <= 64) return use(Gradient<GradientTile<1, 128>>());
  return use(Gradient<GradientTile<2, 128>>());
}

}  // namespace

int64_t time_conv_workspace_size(const TimeConvShape& shape, int processors) {
  return with_tile(shape,
                   [&](auto gradient) { return gradient.workspace_size(shape, processors); });
}

int launch_time_conv_weight_gradient(const void* x, const void* dy, float* workspace, float* dw,
                                     const TimeConvShape& shape, int processors,
                                     CUstream_st* stream) {
  return with_tile(shape, [&](auto gradient) {
    return gradient.launch(x, dy, workspace, dw, shape, processors, stream);
  });
}

}  // namespace lococo
