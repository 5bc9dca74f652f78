// What one lane of the decode attention kernel holds: its part of the queries, and an online
// softmax over the keys that it has read.
#pragma once

#include "tensor/attention/decode_attention_kernel.h"
#include "tensor/kit/packed8.cuh"

namespace lococo {

/// Stands for minus infinity and can be subtracted from itself.
inline constexpr float kLowest = -1.0e30f;

/// 2^x; what would be smaller than the normal numbers is 0.
__device__ inline float power_of_2(float x) {
  float result;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(result) : "f"(x));
  return result;
}

inline constexpr float kLog2E = 1.4426950408889634f;

/// The cosines and sines of four neighbouring angles.
struct Angles4 {
  float4 cos, sin;

  __device__ static Angles4 load(const DecodeAttentionTensors& t, int64_t at) {
    return {__ldg(reinterpret_cast<const float4*>(t.cos + at)),
            __ldg(reinterpret_cast<const float4*>(t.sin + at))};
  }

  /// Four pairs (x[i], y[i]) of the lower and the upper half of D, turned by their angles.
  __device__ void turn(float (&x)[4], float (&y)[4]) const {
    const float c[4] = {cos.x, cos.y, cos.z, cos.w}, s[4] = {sin.x, sin.y, sin.z, sin.w};
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const float low = x[i] * c[i] - y[i] * s[i];
      y[i] = y[i] * c[i] + x[i] * s[i];
      x[i] = low;
    }
  }
};

/// The work of one thread block.
struct Split {
  int pair;  ///< sequence * G + key-value head
  int sequence, kv_head;
  int first_head;  ///< within the group
  int slot;        ///< of the new token
  int64_t angles;  ///< where the new token's begin in the tables
  int begin, end;  ///< keys that the block reads
};

/// Softmax state of R heads over some keys: largest score, sum of exponentials, sum of values. A
/// key is read by kLanes neighbouring lanes, of which D / 8 work: lane i has values 8i .. 8i + 7,
/// and of keys and queries 4i .. 4i + 3 of either half, so that a pair that RoPE turns is its own.
template <int D, int R, int kAtATime = R <= 2 ? 4 : 2>
struct State {
  static constexpr int kLanes = D == 64 ? 8 : 16;
  static constexpr int kKeys = 32 / kLanes;  // that a warp reads at a time
  static constexpr int kUnroll = kAtATime;   // keys of a lane in flight

  float q[R][8];
  float most[R], sum[R], out[R][8];

  /// The lane's part of the queries as they lie in memory, with the new token's angles.
  struct Queries {
    uint2 low[R], high[R];
    Angles4 angles;
  };

  __device__ static Queries load_queries(const DecodeAttentionTensors& t,
                                         const DecodeAttentionShape& shape, const Split& split,
                                         int part) {
    Queries queries;
    const bool works = part < D / 8;
    queries.angles = Angles4::load(t, split.angles + (works ? 4 * part : 0));
#pragma unroll
    for (int r = 0; r < R; ++r) {
      queries.low[r] = queries.high[r] = make_uint2(0, 0);
      const int head = split.first_head + r;
      if (head < shape.group && works) {
        const auto* q = static_cast<const __nv_bfloat16*>(t.q) +
                        static_cast<int64_t>(split.sequence) * shape.q_stride +
                        (split.kv_head * shape.group + head) * D;
        queries.low[r] = *reinterpret_cast<const uint2*>(q + 4 * part);
        queries.high[r] = *reinterpret_cast<const uint2*>(q + D / 2 + 4 * part);
      }
    }
    return queries;
  }

  /// Before the first key.
  __device__ void begin(const Queries& queries) {
    const float scale = rsqrtf(static_cast<float>(D)) * kLog2E;
#pragma unroll
    for (int r = 0; r < R; ++r) {
      most[r] = kLowest;
      sum[r] = 0.0f;
      float x[4], y[4];
      unpack4(queries.low[r], x);
      unpack4(queries.high[r], y);
      queries.angles.turn(x, y);
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        q[r][i] = x[i] * scale;
        q[r][4 + i] = y[i] * scale;
      }
#pragma unroll
      for (int i = 0; i < 8; ++i) out[r][i] = 0.0f;
    }
  }

  /// This lane's part of the scores of one key with all heads, in base-2 logarithms.
  __device__ void score(const float (&x)[4], const float (&y)[4], float (&result)[R]) const {
#pragma unroll
    for (int r = 0; r < R; ++r) {
      float low = 0.0f, high = 0.0f;
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        low += q[r][i] * x[i];
        high += q[r][4 + i] * y[i];
      }
      result[r] = low + high;
    }
  }

  /// Sums of the lanes' parts, the same in all lanes of a key. Those of all keys at once: their
  /// exchanges do not wait for each other.
  __device__ static void sum_lanes(float (&scores)[kUnroll][R]) {
#pragma unroll
    for (int offset = kLanes / 2; offset > 0; offset /= 2) {
#pragma unroll
      for (int u = 0; u < kUnroll; ++u) {
#pragma unroll
        for (int r = 0; r < R; ++r)
          scores[u][r] += __shfl_xor_sync(0xffffffffU, scores[u][r], offset);
      }
    }
  }

  __device__ void rescale(int r, float new_most) {
    const float factor = power_of_2(most[r] - new_most);
    most[r] = new_most;
    sum[r] *= factor;
#pragma unroll
    for (int i = 0; i < 8; ++i) out[r][i] *= factor;
  }

  /// Takes in keys and their values. Keys that do not count have the score kLowest: where a lane
  /// has met no other key yet they count until it meets one, or merge_lanes() another lane's.
  __device__ void add(const float (&scores)[kUnroll][R], const uint4 (&values)[kUnroll]) {
    float weights[kUnroll][R];
#pragma unroll
    for (int r = 0; r < R; ++r) {
      float new_most = most[r];
#pragma unroll
      for (int u = 0; u < kUnroll; ++u) new_most = fmaxf(new_most, scores[u][r]);
      rescale(r, new_most);
#pragma unroll
      for (int u = 0; u < kUnroll; ++u) {
        weights[u][r] = power_of_2(scores[u][r] - new_most);
        sum[r] += weights[u][r];
      }
    }
#pragma unroll
    for (int u = 0; u < kUnroll; ++u) {
      float value[8];
      unpack8(values[u], value);
#pragma unroll
      for (int r = 0; r < R; ++r) {
#pragma unroll
        for (int i = 0; i < 8; ++i) out[r][i] += weights[u][r] * value[i];
      }
    }
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
