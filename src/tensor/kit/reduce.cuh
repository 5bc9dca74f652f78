// Sums and largest values over a warp and over a thread block, in a fixed order, so that results
// repeat.
#pragma once

#include <cuda_runtime.h>

namespace lococo {

/// merge(a, b) of the values of a whole warp, in every lane. `merge` must not care for the order.
template <class Merge>
__device__ inline float reduce_warp(float value, Merge merge) {
#pragma unroll
  for (int distance = 16; distance > 0; distance /= 2)
    value = merge(value, __shfl_xor_sync(0xffffffffU, value, distance));
  return value;
}

/// The same over a block of whole warps, at most kMaxThreads, in every thread. `nothing` changes no
/// value that it is merged with.
template <int kMaxThreads, class Merge>
__device__ inline float reduce_block(float value, float nothing, Merge merge) {
  static_assert(kMaxThreads % 32 == 0 && kMaxThreads <= 1024);
  __shared__ float of_warp[kMaxThreads / 32];
  const unsigned lane = threadIdx.x % 32, warp = threadIdx.x / 32, warps = blockDim.x / 32;
  value = reduce_warp(value, merge);
  if (warps == 1) return value;
  __syncthreads();  // the reduction before this one has been read
  if (lane == 0) of_warp[warp] = value;
  __syncthreads();
  return reduce_warp(lane < warps ? of_warp[lane] : nothing, merge);
}

struct Add {
  __device__ float operator()(float a, float b) const { return a + b; }
};

struct Larger {
  __device__ float operator()(float a, float b) const { return fmaxf(a, b); }
};

__device__ inline float warp_sum(float value) { return reduce_warp(value, Add{}); }
__device__ inline float warp_max(float value) { return reduce_warp(value, Larger{}); }

template <int kMaxThreads>
__device__ inline float block_sum(float value) {
  return reduce_block<kMaxThreads>(value, 0.0F, Add{});
}

/// Of values that are not negative.
template <int kMaxThreads>
__device__ inline float block_max(float value) {
  return reduce_block<kMaxThreads>(value, 0.0F, Larger{});
}

}  // namespace lococo
