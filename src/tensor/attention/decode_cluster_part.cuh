// What a block of the decode attention in clusters reads: its part of a pair's keys, what the cache
// holds of them, and the new token.
#pragma once

#include "tensor/attention/decode_cluster_room.cuh"
#include "tensor/attention/decode_softmax.cuh"
#include "tensor/kit/cluster.cuh"
#include "tensor/kit/shared_barrier.cuh"

namespace lococo::decode_cluster {

/// The part of the block in a pair's keys: even ones, however few of the slots are in use.
template <int D>
__device__ Split split_of(const DecodeAttentionTensors& t, const DecodeAttentionShape& shape,
                          const DecodeClusterPlan& plan, int rank, int pair) {
  Split split;
  split.pair = pair;
  split.sequence = pair / shape.kv_heads;
  split.kv_head = pair % shape.kv_heads;
  split.first_head = 0;
  split.slot = t.cursor[2 * split.sequence];
  split.angles = static_cast<int64_t>(split.sequence) * shape.table_stride +
                 static_cast<int64_t>(t.cursor[2 * split.sequence + 1]) * D;
  const int keys = split.slot + 1, part = (keys + plan.cluster - 1) >> log2_of(plan.cluster);
  split.begin = min(rank * part, keys);
  split.end = min(split.begin + part, keys);
  return split;
}

__device__ inline void init_barriers(const Room& room) {
  hopper::barrier_init(room.loaded, 1);
  for (uint32_t i = 0; i < 2; ++i) hopper::barrier_init(room.joined + 8 * i, 1);
  hopper::barrier_init_fence();
}

/// Asks for the part's keys and values but for the new token's. By one thread.
template <int D>
__device__ void load_part(const DecodeAttentionTensors& t, const DecodeAttentionShape& shape,
                          const DecodeClusterPlan& plan, const Room& room, const Split& split) {
  const int keys = max(min(split.end, split.slot) - split.begin, 0);
  const uint32_t bytes = static_cast<uint32_t>(keys * D) * 2;
  hopper::barrier_expect(room.loaded, 2 * bytes);
  if (keys == 0) return;
  const int64_t at = (static_cast<int64_t>(split.pair) * shape.home_slots + split.begin) * D;
  hopper::load_bytes(keys_of(room), static_cast<const __nv_bfloat16*>(t.k_cache) + at, bytes,
                     room.loaded);
  hopper::load_bytes(values_of(room, plan, D), static_cast<const __nv_bfloat16*>(t.v_cache) + at,
                     bytes, room.loaded);
}

/// What a thread reads of the key of its number in the part, a round ahead.
struct Held {
  float mass = 0.0f;
  int row = 0;
};

__device__ inline Held hold(const DecodeAttentionTensors& t, const DecodeAttentionShape& shape,
                            const Split& split) {
  Held held;
  const int key = split.begin + static_cast<int>(threadIdx.x);
  if (key >= split.end || key == split.slot) return held;
  const int64_t at = static_cast<int64_t>(split.pair) * shape.home_slots + key;
  if (t.mass != nullptr) held.mass = __ldcg(t.mass + at);
  if (t.places != nullptr) held.row = __ldcg(t.places + at);
  return held;
}

/// Key and value of the new token, to the cache and to its part.
template <int D>
__device__ void append(const DecodeAttentionTensors& t, const DecodeAttentionShape& shape,
                       const DecodeClusterPlan& plan, const Room& room, const Split& split) {
  const int d = static_cast<int>(threadIdx.x);
  if (split.slot < split.begin || split.slot >= split.end || d >= D) return;
  const int64_t from = static_cast<int64_t>(split.sequence) * shape.kv_stride + split.kv_head * D;
  const auto* k = static_cast<const __nv_bfloat16*>(t.k) + from;
  const int64_t slot = static_cast<int64_t>(split.pair) * shape.home_slots + split.slot;
  __nv_bfloat16 key = k[d];
  const __nv_bfloat16 value = static_cast<const __nv_bfloat16*>(t.v)[from + d];
  if (!shape.rotate_cache) {
    const float other =
        d < D / 2 ? -__bfloat162float(k[d + D / 2]) : __bfloat162float(k[d - D / 2]);
    const int64_t angle = split.angles + d;
    key = __float2bfloat16_rn(__bfloat162float(key) * t.cos[angle] + other * t.sin[angle]);
  }
  const int row = (split.slot - split.begin) * D;
  keys_of(room)[row + d] = key;
  values_of(room, plan, D)[row + d] = value;
  hopper::before_copies();
  static_cast<__nv_bfloat16*>(t.k_cache)[slot * D + d] = key;
  static_cast<__nv_bfloat16*>(t.v_cache)[slot * D + d] = value;
  if (t.places != nullptr && d == 0) t.places[slot] = t.cursor[2 * split.sequence + 1];
}

/// Where the angles of the part's keys are.
__device__ inline void note_rows(const DecodeAttentionTensors& t, const DecodeAttentionShape& shape,
                                 const Room& room, const Split& split, int held) {
  const int* places = t.places + static_cast<int64_t>(split.pair) * shape.home_slots + split.begin;
  const int thread = static_cast<int>(threadIdx.x);
#pragma unroll 1
  for (int i = thread; i < split.end - split.begin; i += kThreads) {
    const bool fresh = split.begin + i == split.slot;
    room.rows[i] = fresh         ? t.cursor[2 * split.sequence + 1]
                   : i == thread ? held
                                 : __ldcg(places + i);
  }
}

}  // namespace lococo::decode_cluster
