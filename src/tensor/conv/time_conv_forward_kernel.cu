#include "tensor/conv/time_conv_forward_kernel.h"

// y = act(bias + sum over taps of shifted x times w): one matrix product of (sequence, row) by
// output, whose reduction runs over chunks of 64 channels (outside) and taps (inside); a chunk and
// a tap are a step.
//
// A block makes 64 rows x kN outputs with each of its warpgroups; one of its threads also tells the
// TMA what to load. (A warpgroup that only loads would leave 128 registers to a thread of three
// others, and 256 outputs alone take 128.) A chunk's rows of x, with the (K - 1) / 2 rows before
// and behind, are loaded once for all taps: tap t is the same operand started t rows later.
#include <cuda_bf16.h>

#include "tensor/kit/hopper.cuh"

namespace lococo {
namespace {

using namespace hopper;

constexpr int kWarpgroup = 128;

struct ForwardArguments {
  const float* bias;
  int rows, channels, outputs, taps;
  int row_tiles;  ///< of one sequence
  bool relu;
};

template <int kWarpgroupCount, int kOutputs>
struct ForwardTile {
  static constexpr int kWarpgroups = kWarpgroupCount, kN = kOutputs;
  static constexpr int kThreads = kWarpgroups * kWarpgroup;
  static constexpr int kRows = 64 * kWarpgroups;
  using Sums = float[kN / 2];

  static constexpr int kStages = kN == 256 ? 5 : 8;
  static constexpr int kStageBytes = kN * kBoxRowBytes;  // kN outputs x 64 channels
  static constexpr int kXStages = 2;
  static constexpr int kXRows = kRows + 64;  // at least kRows + kTimeConvMaxTaps - 1
  static constexpr int kXStageBytes = kXRows * kBoxRowBytes;
  static constexpr int kXOffset = kStages * kStageBytes;
  static constexpr int kBarrierOffset = kXOffset + kXStages * kXStageBytes;
  static constexpr int kBarriers = 2 * (kStages + kXStages);
  static constexpr int kSharedBytes = kSwizzleBytes + kBarrierOffset + 8 * kBarriers;
  static_assert(kTimeConvMaxTaps - 1 <= 64);
  static_assert(kSharedBytes <= 232448, "what a block of this architecture may have");

  /// In the end the weights' stages take y, in boxes of 64 rows x 64 outputs.
  static constexpr int kYBoxes = (kN + 63) / 64;
  static constexpr int kYBoxBytes = 64 * kBoxRowBytes;
  static_assert(kWarpgroups * kYBoxes * kYBoxBytes <= kXOffset);
};

/// Where things are in shared memory.
template <class Tile>
struct ForwardMemory {
  uint32_t base;
  __device__ uint32_t weight(int stage) const { return base + stage * Tile::kStageBytes; }
  __device__ uint32_t y(int warpgroup) const {
    return base + warpgroup * Tile::kYBoxes * Tile::kYBoxBytes;
  }
  __device__ uint32_t x(int stage) const {
    return base + Tile::kXOffset + stage * Tile::kXStageBytes;
  }
  __device__ uint32_t barrier(int index) const { return base + Tile::kBarrierOffset + 8 * index; }
  __device__ uint32_t full(int stage) const { return barrier(stage); }
  __device__ uint32_t empty(int stage) const { return barrier(Tile::kStages + stage); }
  __device__ uint32_t x_full(int stage) const { return barrier(2 * Tile::kStages + stage); }
  __device__ uint32_t x_empty(int stage) const {
    return barrier(2 * Tile::kStages + Tile::kXStages + stage);
  }
};

/// What a block works on.
struct Place {
  int sequence, row, output;
};

/// The loads of a block in the order in which they are used, by one thread.
template <class Tile>
struct Loader {
  const ForwardMemory<Tile>& memory;
  const CUtensorMap& x_map;
  const CUtensorMap& weight_map;
  const ForwardArguments& arguments;
  Place place;
  Ring<Tile::kStages> ring = {};
  Ring<Tile::kXStages> x_ring = {};
  int channel = 0, tap = 0;

  /// The weights of the next step, and the rows of x where a chunk begins; nothing after the last.
  __device__ __forceinline__ void load_next() {
    if (channel >= arguments.channels) return;
    if (tap == 0) {
      const uint32_t x_full = memory.x_full(x_ring.stage);
      barrier_wait(memory.x_empty(x_ring.stage), x_ring.phase ^ 1);
      barrier_expect(x_full, (Tile::kRows + arguments.taps - 1) * kBoxRowBytes);
      tma_load(memory.x(x_ring.stage), x_map, x_full, channel, place.row - (arguments.taps - 1) / 2,
               place.sequence);
      x_ring.advance();
    }
    barrier_wait(memory.empty(ring.stage), ring.phase ^ 1);
    barrier_expect(memory.full(ring.stage), Tile::kStageBytes);
    tma_load(memory.weight(ring.stage), weight_map, memory.full(ring.stage), channel, place.output,
             tap);
    ring.advance();
    if (++tap == arguments.taps) {
      tap = 0;
      channel += kBoxInner;
    }
  }
};

/// The loading thread computes too, so it may only wait for a stage that its own warpgroup has left
/// by then. Before the first step it loads n = min(kStages, K + lag) steps, and from step `lag` on
/// one more in each: step i loads step j = i - lag + n. The weights' stage of j was left after step
/// j - kStages < i. If j begins chunk c, its stage of x was left when chunk c - 1 began, at step
/// j - K <= i. And as n > lag, step i + 1 is loaded before it is waited for.
template <class Tile>
__device__ __forceinline__ void multiply(const ForwardMemory<Tile>& memory, Loader<Tile>& loader,
                                         const ForwardArguments& arguments, int warpgroup,
                                         typename Tile::Sums& sums) {
  constexpr int kEights = 8 * kBoxRowBytes;
  const bool leader = threadIdx.x % 32 == 0, loads = threadIdx.x == 0;
  // Two, so that the other warpgroups have left the stage too and nobody waits. With one tap,
  // kXStages chunks are only as many steps.
  const int lag = min(arguments.taps, 2);
  Ring<Tile::kStages> ring;
  Ring<Tile::kXStages> x_ring;
  if (loads)
    for (int i = 0; i < min(Tile::kStages, arguments.taps + lag); ++i) loader.load_next();
  __syncwarp();
  int step = 0;
  for (int channel = 0; channel < arguments.channels; channel += kBoxInner) {
    barrier_wait(memory.x_full(x_ring.stage), x_ring.phase);
#pragma unroll 1
    for (int tap = 0; tap < arguments.taps; ++tap, ++step) {
      barrier_wait(memory.full(ring.stage), ring.phase);
      const uint64_t x =
          operand(memory.x(x_ring.stage) + (warpgroup * 64 + tap) * kBoxRowBytes, kEights, 16);
      const uint64_t weight = operand(memory.weight(ring.stage), kEights, 16);
      wgmma_fence();
#pragma unroll
      for (int k = 0; k < kBoxRowBytes; k += 32)
        wgmma<0>(sums, x + operand_step(k), weight + operand_step(k), step > 0 || k > 0);
      wgmma_commit();
      wgmma_wait<1>();
      // The step before this one is done with its stages.
      if (leader && step > 0) {
        barrier_arrive(memory.empty(ring.previous()));
        if (tap == 0) barrier_arrive(memory.x_empty(x_ring.previous()));
      }
      if (loads && step >= lag) loader.load_next();
      __syncwarp();
      ring.advance();
    }
    x_ring.advance();
  }
  wgmma_wait<0>();
  wgmma_settle(sums);
}

/// Bias, activation, and a warpgroup's 64 rows x kN outputs, from `place` on, to global memory by
/// way of shared memory.
template <class Tile>
__device__ __forceinline__ void store(uint32_t shared, const CUtensorMap& y_map,
                                      const ForwardArguments& arguments, int warpgroup,
                                      const Place& place, const typename Tile::Sums& sums) {
  const int thread = threadIdx.x % kWarpgroup, lane = thread % 32;
  const int row = thread / 32 * 16 + lane / 4, pair = lane % 4;
  const auto activate = [&](float value) {  // lets NaN pass
    return arguments.relu && value < 0.0f ? 0.0f : value;
  };
#pragma unroll
  for (int j = 0; j < Tile::kN / 8; ++j) {
    const float* four = &sums[4 * j];
    const int output = place.output + 8 * j + 2 * pair;
    const bool inside = output < arguments.outputs;
    const float bias0 = inside ? arguments.bias[output] : 0.0f;
    const float bias1 = inside ? arguments.bias[output + 1] : 0.0f;
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const __nv_bfloat162 values = __floats2bfloat162_rn(activate(four[2 * half] + bias0),
                                                          activate(four[2 * half + 1] + bias1));
      const uint32_t address = shared + j / 8 * Tile::kYBoxBytes + (row + 8 * half) * kBoxRowBytes +
                               ((j % 8) ^ (row % 8)) * 16 + pair * 4;
      asm volatile("st.shared.b32 [%0], %1;" ::"r"(address),
                   "r"(*reinterpret_cast<const uint32_t*>(&values))
                   : "memory");
    }
  }
  tma_store_fence();
  sync_threads(1 + warpgroup, kWarpgroup);
  if (thread != 0 || place.row >= arguments.rows) return;
  for (int box = 0; box < Tile::kYBoxes; ++box) {
    const int output = place.output + 64 * box;
    if (output < arguments.outputs)
      tma_store(y_map, shared + box * Tile::kYBoxBytes, output, place.row, place.sequence);
  }
  tma_store_wait();
}

template <class Tile>
__global__ void __launch_bounds__(Tile::kThreads, 1)
    forward_kernel(const __grid_constant__ CUtensorMap x_map,
                   const __grid_constant__ CUtensorMap weight_map,
                   const __grid_constant__ CUtensorMap y_map,
                   const __grid_constant__ ForwardArguments arguments) {
  extern __shared__ uint8_t shared[];
  const uint32_t start = shared_address(shared);
  const ForwardMemory<Tile> memory{(start + kSwizzleBytes - 1) / kSwizzleBytes * kSwizzleBytes};
  if (threadIdx.x == 0) {
    constexpr int kWarps = Tile::kThreads / 32;
    for (int i = 0; i < Tile::kStages; ++i) {
      barrier_init(memory.full(i), 1);
      barrier_init(memory.empty(i), kWarps);
    }
    for (int i = 0; i < Tile::kXStages; ++i) {
      barrier_init(memory.x_full(i), 1);
      barrier_init(memory.x_empty(i), kWarps);
    }
    barrier_init_fence();
  }
  __syncthreads();

  const int row_tile = static_cast<int>(blockIdx.x) % arguments.row_tiles;
  Place place{static_cast<int>(blockIdx.x) / arguments.row_tiles, row_tile * Tile::kRows,
              static_cast<int>(blockIdx.y) * Tile::kN};
  const int warpgroup = __shfl_sync(0xffffffff, threadIdx.x / kWarpgroup, 0);
  Loader<Tile> loader{memory, x_map, weight_map, arguments, place};
  typename Tile::Sums sums;
  multiply<Tile>(memory, loader, arguments, warpgroup, sums);
  __syncthreads();  // until then another warpgroup may read weights where y will be
  place.row += 64 * warpgroup;
  store<Tile>(memory.y(warpgroup), y_map, arguments, warpgroup, place, sums);
}

template <class Tile>
cudaError_t launch_forward(const void* x, const void* packed, const float* bias, void* y, bool relu,
                           const TimeConvShape& shape, cudaStream_t stream) {
  CUtensorMap x_map, weight_map, y_map;
  const int x_rows = Tile::kRows + static_cast<int>(shape.taps) - 1;
  if (!encode_map(&x_map, x, shape.sequences, shape.rows, shape.channels, x_rows) ||
      !encode_map(&weight_map, packed, shape.taps, shape.outputs, shape.channels, Tile::kN) ||
      !encode_map(&y_map, y, shape.sequences, shape.rows, shape.outputs, 64))
    return cudaErrorInvalidValue;
  const auto kernel = forward_kernel<Tile>;
  const auto error =
      cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, Tile::kSharedBytes);
  if (error != cudaSuccess) return error;
  const auto row_tiles = (shape.rows + Tile::kRows - 1) / Tile::kRows;
  const ForwardArguments arguments = {bias,
                                      static_cast<int>(shape.rows),
                                      static_cast<int>(shape.channels),
                                      static_cast<int>(shape.outputs),
                                      static_cast<int>(shape.taps),
                                      static_cast<int>(row_tiles),
                                      relu};
  const dim3 grid(static_cast<unsigned>(shape.sequences * row_tiles),
                  static_cast<unsigned>((shape.outputs + Tile::kN - 1) / Tile::kN));
  kernel<<<grid, Tile::kThreads, Tile::kSharedBytes, stream>>>(x_map, weight_map, y_map, arguments);
  return cudaGetLastError();
}

}  // namespace

int launch_time_conv_forward(const void* x, const void* packed, const float* bias, void* y,
                             bool relu, const TimeConvShape& shape, CUstream_st* stream) {
  const auto with = [&](auto launch) { return launch(x, packed, bias, y, relu, shape, stream); };
  // Few outputs are little work: small blocks, of which a processor takes several.
  if (shape.outputs <= 32) return with(launch_forward<ForwardTile<1, 32>>);
  if (shape.outputs <= 64) return with(launch_forward<ForwardTile<3, 64>>);
  if (shape.outputs <= 128) return with(launch_forward<ForwardTile<3, 128>>);
  return with(launch_forward<ForwardTile<3, 256>>);
}

}  // namespace lococo
