// The softmax of a row that a thread block reads once: largest logit and sum of exponentials,
// merged over its threads.
#pragma once

#include <cuda_runtime.h>

#include <cfloat>

namespace lococo {

/// sum of exp(x - max) over the logits seen so far. -FLT_MAX instead of -infinity keeps the
/// differences finite.
struct RunningSum {
  float max = -FLT_MAX;
  float sum = 0.0f;

  __device__ void add(const RunningSum& other) {
    const float new_max = fmaxf(max, other.max);
    sum = sum * __expf(max - new_max) + other.sum * __expf(other.max - new_max);
    max = new_max;
  }

  template <int kCount>
  __device__ void add(const float (&x)[kCount]) {
    float new_max = max;
    for (int i = 0; i < kCount; ++i) new_max = fmaxf(new_max, x[i]);
    sum *= __expf(max - new_max);
    for (int i = 0; i < kCount; ++i) sum += __expf(x[i] - new_max);
    max = new_max;
  }
};

__device__ inline RunningSum sum_of_warp(RunningSum value) {
  for (int offset = 16; offset > 0; offset /= 2) {
    RunningSum other;
    other.max = __shfl_xor_sync(0xffffffffU, value.max, offset);
    other.sum = __shfl_xor_sync(0xffffffffU, value.sum, offset);
    value.add(other);
  }
  return value;
}

/// The sum over a thread block, in every thread, always in the same order.
template <int kThreads>
__device__ RunningSum sum_of_block(RunningSum value) {
  constexpr int kWarps = kThreads / 32;
  __shared__ float max[kWarps];
  __shared__ float sum[kWarps];
  value = sum_of_warp(value);
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  if (lane == 0) {
    max[warp] = value.max;
    sum[warp] = value.sum;
  }
  __syncthreads();
  value = RunningSum();
  if (lane < kWarps) {
    value.max = max[lane];
    value.sum = sum[lane];
  }
  __syncthreads();  // the next call may write
  return sum_of_warp(value);
}

}  // namespace lococo
