// What one lane of the decode attention kernel holds: its part of the queries, and an online
// softmax over the keys that it has read.
#pragma once

#include "tensor/attention/decode_attention_kernel.h"
#include "tensor/kit/packed8.cuh"

namespace lococo {

/// Stands for minus infinity and can be subtracted from itself.
inline constexpr float kLowest = -1.0e30f;
inline constexpr float kLog2E = 1.4426950408889634f;

/// Four pairs (x[i], y[i]) of the lower and the upper half of D, turned by their angles.
__device__ inline void turn(float (&x)[4], float (&y)[4], const float* cos, const float* sin) {
  const float4 c = __ldg(reinterpret_cast<const float4*>(cos));
  const float4 s = __ldg(reinterpret_cast<const float4*>(sin));
  const float cs[4] = {c.x, c.y, c.z, c.w}, sn[4] = {s.x, s.y, s.z, s.w};
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const float low = x[i] * cs[i] - y[i] * sn[i];
    y[i] = y[i] * cs[i] + x[i] * sn[i];
    x[i] = low;
  }
}

/// The work of one thread block.
struct Split {
  int pair;  ///< sequence * G + key-value head
  int sequence, kv_head;
  int first_head;  ///< within the group
  int slot;        ///< of the new token
  int64_t angles;  ///< where the new token's begin in the tables
  int begin, end;  ///< keys
};

/// Softmax state of R heads over some keys: largest score, sum of exponentials, sum of values. A
/// key is read by kLanes neighbouring lanes, of which D / 8 work: lane i has values 8i .. 8i + 7,
/// and of keys and queries 4i .. 4i + 3 of either half, so that a pair that RoPE turns is its own.
template <int D, int R>
struct State {
  static constexpr int kLanes = D == 64 ? 8 : 16;
  static constexpr int kKeys = 32 / kLanes;  // that a warp reads at a time
  static constexpr int kUnroll = R <= 2 ? 4 : 2;

  float q[R][8];
  float most[R], sum[R], out[R][8];

  __device__ void load_queries(const DecodeAttentionTensors& t, const DecodeAttentionShape& shape,
                               const Split& split, int part) {
    const float scale = rsqrtf(static_cast<float>(D)) * kLog2E;
#pragma unroll
    for (int r = 0; r < R; ++r) {
      most[r] = kLowest;
      sum[r] = 0.0f;
      float x[4] = {}, y[4] = {};
      const int head = split.first_head + r;
      if (head < shape.group && part < D / 8) {
        const auto* q = static_cast<const __nv_bfloat16*>(t.q) +
                        static_cast<int64_t>(split.sequence) * shape.q_stride +
                        (split.kv_head * shape.group + head) * D;
        unpack4(*reinterpret_cast<const uint2*>(q + 4 * part), x);
        unpack4(*reinterpret_cast<const uint2*>(q + D / 2 + 4 * part), y);
        const int64_t angle = split.angles + 4 * part;
        turn(x, y, t.cos + angle, t.sin + angle);
      }
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        this->q[r][i] = x[i] * scale;
        this->q[r][4 + i] = y[i] * scale;
      }
#pragma unroll
      for (int i = 0; i < 8; ++i) out[r][i] = 0.0f;
    }
  }

  /// Scores of one key with all heads, in base-2 logarithms; the same in all lanes of the key.
  __device__ void score(const float (&x)[4], const float (&y)[4], float (&result)[R]) const {
#pragma unroll
    for (int r = 0; r < R; ++r) {
      float dot = 0.0f;
#pragma unroll
      for (int i = 0; i < 4; ++i) dot += q[r][i] * x[i] + q[r][4 + i] * y[i];
#pragma unroll
      for (int offset = kLanes / 2; offset > 0; offset /= 2)
        dot += __shfl_xor_sync(0xffffffffU, dot, offset);
      result[r] = dot;
    }
  }

  __device__ void rescale(int r, float new_most) {
    const float factor = exp2f(most[r] - new_most);
    most[r] = new_most;
    sum[r] *= factor;
#pragma unroll
    for (int i = 0; i < 8; ++i) out[r][i] *= factor;
  }

  /// Adds the state of the lanes that read other keys.
  __device__ void merge_lanes() {
#pragma unroll
    for (int offset = kLanes; offset < 32; offset *= 2) {
#pragma unroll
      for (int r = 0; r < R; ++r) {
        const float other_most = __shfl_xor_sync(0xffffffffU, most[r], offset);
        const float new_most = fmaxf(most[r], other_most);
        rescale(r, new_most);
        // Both sides now count from the same maximum, so their sums simply add up.
        sum[r] += __shfl_xor_sync(0xffffffffU, sum[r], offset);
#pragma unroll
        for (int i = 0; i < 8; ++i) out[r][i] += __shfl_xor_sync(0xffffffffU, out[r][i], offset);
      }
    }
  }
};

}  // namespace lococo
