// What the kernels of a soft choice share: sums over a thread block, and a sigmoid that keeps its
// digits.
#pragma once

#include <cuda_runtime.h>

#include "soft/soft_keep_kernel.h"

namespace lococo::soft_keep {

constexpr int kThreads = 512;
constexpr int kWarps = kThreads / 32;
constexpr unsigned kAllLanes = 0xffffffffU;
constexpr int kMostSums = 6;

struct Add {
  __device__ float operator()(float a, float b) const { return a + b; }
};

/// Merges numbers over a thread block in a fixed order, one barrier each; every thread gets the
/// same bits. Two sets of totals in turn, so that a fast warp does not overwrite what a slow one
/// still reads.
class BlockReducer {
 public:
  __device__ explicit BlockReducer(float (*totals)[kMostSums][kWarps]) : totals_(totals) {}

  template <class Merge, int kValues>
  __device__ void reduce(float (&values)[kValues], Merge merge) {
    static_assert(kValues <= kMostSums);
    float(*totals)[kWarps] = totals_[turn_];
    turn_ ^= 1;
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    within_warp<32>(values, merge);
#pragma unroll
    for (int v = 0; v < kValues; ++v) {
      if (lane == 0) totals[v][warp] = values[v];
    }
    __syncthreads();
#pragma unroll
    for (int v = 0; v < kValues; ++v) values[v] = totals[v][lane % kWarps];
    within_warp<kWarps>(values, merge);
  }

 private:
  template <int kLanes, class Merge, int kValues>
  __device__ static void within_warp(float (&values)[kValues], Merge merge) {
#pragma unroll
    for (int distance = kLanes / 2; distance > 0; distance /= 2) {
#pragma unroll
      for (int v = 0; v < kValues; ++v)
        values[v] = merge(values[v], __shfl_xor_sync(kAllLanes, values[v], distance));
    }
  }

  float (*totals_)[kMostSums][kWarps];
  int turn_ = 0;
};

/// A sigmoid as its distance from 0 or 1, whichever is nearer: neither it nor one minus it loses
/// digits, however far from its threshold a key lies.
struct Gate {
  float tail;  ///< sigmoid(-|x|)
  bool open;   ///< x > 0
  __device__ float on() const { return open ? 1.0F - tail : tail; }
  __device__ float off() const { return open ? tail : 1.0F - tail; }
  __device__ float slope() const { return tail - tail * tail; }
  /// One register instead of two: the sign tells `open`, also that of a zero.
  __device__ float packed() const { return open ? tail : -tail; }
};

constexpr float kClosed = -0.0F;  // packed() of x = -infinity

__device__ inline Gate unpacked(float packed) { return {fabsf(packed), !signbit(packed)}; }

__device__ inline Gate gate(float x) {
  const float e = __expf(-fabsf(x));
  return {__fdividef(e, 1.0F + e), x > 0.0F};
}

struct Threshold {
  float value;
  float remainder;
};

/// value - threshold is exact near the threshold, where it matters.
__device__ inline Gate gate(float value, const Threshold& threshold, float inverse_temperature) {
  return gate(((value - threshold.value) - threshold.remainder) * inverse_temperature);
}

/// What both gates give for a key: keep = a + (1 - a) b, and how far it is from 1.
struct Kept {
  __device__ Kept(const Gate& one, const Gate& two)
      : keep(one.on() + one.off() * two.on()), rest(one.off() * two.off()) {}
  float keep;
  float rest;
};

__device__ inline void fill_fixed(float* row, const SoftKeepShape& shape) {
  for (int j = threadIdx.x; j < shape.sinks + shape.local; j += kThreads)
    row[j < shape.sinks ? j : shape.slots - shape.local + j - shape.sinks] = 0.0F;
}

}  // namespace lococo::soft_keep
