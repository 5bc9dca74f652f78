// How the decode attention kernel joins the parts of a softmax: those of a block's warps, then
// those of the splits, by the block of a pair that arrives last.
#pragma once

#include <cuda_runtime.h>

#include "tensor/attention/decode_attention_kernel.h"
#include "tensor/attention/decode_softmax.cuh"

namespace lococo::decode_combine {

constexpr int kWarps = 4;
constexpr int kThreads = 32 * kWarps;
constexpr int kMostHeads = 16;  // query heads of a pair

/// Merges the warps of a block and writes the split's part: out [D] and (largest score, sum).
template <int D, int R>
__device__ void write_partial(State<D, R>& state, const DecodeAttentionTensors& t,
                              const DecodeAttentionShape& shape, const Split& split) {
  using S = State<D, R>;
  __shared__ float most[kWarps][R], sum[kWarps][R], out[kWarps][R][D];
  const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
  state.merge_lanes();
#pragma unroll
  for (int r = 0; r < R; ++r) {
    if (lane == 0) {
      most[warp][r] = state.most[r];
      sum[warp][r] = state.sum[r];
    }
    if (lane < D / 8 && lane < S::kLanes) {
#pragma unroll
      for (int i = 0; i < 8; ++i) out[warp][r][8 * lane + i] = state.out[r][i];
    }
  }
  __syncthreads();
  const int d = static_cast<int>(threadIdx.x);
  const int64_t base = (static_cast<int64_t>(split.pair) * gridDim.y + blockIdx.y) * shape.group;
  for (int r = 0; r < R && split.first_head + r < shape.group; ++r) {
    float new_most = most[0][r];
#pragma unroll
    for (int w = 1; w < kWarps; ++w) new_most = fmaxf(new_most, most[w][r]);
    float total = 0.0f, value = 0.0f;
#pragma unroll
    for (int w = 0; w < kWarps; ++w) {
      const float factor = power_of_2(most[w][r] - new_most);
      total += factor * sum[w][r];
      if (d < D) value += factor * out[w][r][d];
    }
    const int64_t at = base + split.first_head + r;
    if (d < D) t.partial[at * D + d] = value;
    if (d == 0) {
      t.statistics[2 * at] = new_most;
      t.statistics[2 * at + 1] = total;
    }
  }
}

/// Whether this block is the last of its pair; all that the others wrote is visible then.
__device__ inline bool arrived_last(const DecodeAttentionTensors& t, int pair) {
  __shared__ bool last;
  __threadfence();
  __syncthreads();
  if (threadIdx.x == 0) {
    const unsigned blocks = gridDim.y * gridDim.z;
    last = atomicInc(t.arrivals + pair, blocks - 1) == blocks - 1;  // the last sets it to 0 again
  }
  __syncthreads();
  if (last) __threadfence();
  return last;
}

template <int D>
__device__ void combine(const DecodeAttentionTensors& t, const DecodeAttentionShape& shape,
                        const Split& split) {
  __shared__ float lse[kMostHeads];  // base-2 logarithm of each head's sum over all keys
  const int thread = static_cast<int>(threadIdx.x);
  const int keys = split.slot + 1;
  const int splits = (keys + shape.keys_per_split - 1) / shape.keys_per_split;
  const int64_t base = static_cast<int64_t>(split.pair) * gridDim.y * shape.group;
  if (thread < shape.group) {
    float most = kLowest;
    for (int s = 0; s < splits; ++s)
      most = fmaxf(most, __ldcg(t.statistics + 2 * (base + s * shape.group + thread)));
    float sum = 0.0f;
    for (int s = 0; s < splits; ++s) {
      const float* part = t.statistics + 2 * (base + s * shape.group + thread);
      sum += __ldcg(part + 1) * power_of_2(__ldcg(part) - most);
    }
    lse[thread] = most + log2f(sum);
  }
  __syncthreads();
  auto* out =
      static_cast<__nv_bfloat16*>(t.out) + static_cast<int64_t>(split.pair) * shape.group * D;
  for (int i = thread; i < shape.group * D; i += kThreads) {
    const int head = i / D, d = i % D;
    float value = 0.0f;
#pragma unroll 4
    for (int s = 0; s < splits; ++s) {
      const int64_t at = base + s * shape.group + head;
      value +=
          __ldcg(t.partial + at * D + d) * power_of_2(__ldcg(t.statistics + 2 * at) - lse[head]);
    }
    out[i] = __float2bfloat16_rn(value);
  }
  if (t.mass == nullptr) return;
  const float* scores = t.scores + static_cast<int64_t>(split.pair) * shape.group * shape.capacity;
  float* mass = t.mass + static_cast<int64_t>(split.pair) * shape.home_slots;
  for (int key = thread; key < keys; key += kThreads) {
    float received = 0.0f;
    for (int r = 0; r < shape.group; ++r)
      received +=
          power_of_2(__ldcg(scores + static_cast<int64_t>(r) * shape.capacity + key) - lse[r]);
    if (key + shape.distance > split.slot) received = 0.0f;
    mass[key] = key == split.slot ? received : mass[key] + received;
  }
}

}  // namespace lococo::decode_combine
