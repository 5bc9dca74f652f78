// How the blocks of a cluster join their parts of a softmax: each sends every other the channels
// that the other joins, through the cluster's shared memory, and all know the statistics then.
#pragma once

#include "tensor/attention/decode_cluster_room.cuh"
#include "tensor/attention/decode_softmax.cuh"
#include "tensor/kit/cluster.cuh"
#include "tensor/kit/shared_barrier.cuh"

namespace lococo::decode_cluster {

/// The block's place in its cluster and the round of the cluster.
struct Place {
  int rank, round;
};

/// Eight warps with ten keys of 128 channels each take a part at once where a cluster of eight
/// blocks has 512 slots and 64 recent tokens.
template <int D, int R>
using PartState = State<D, R,
                        (R == 1 && D > 64) ? 5
                        : R <= 2           ? 4
                                           : 2>;

/// What each warp has summed up, for send().
template <int D, int R>
__device__ void keep(PartState<D, R>& state, const Room& room) {
  using S = PartState<D, R>;
  const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
  state.merge_lanes();
#pragma unroll
  for (int r = 0; r < R; ++r) {
    const int at = warp * R + r;
    if (lane == 0) {
      room.warp_statistics[2 * at] = state.most[r];
      room.warp_statistics[2 * at + 1] = state.sum[r];
    }
    if (lane < S::kLanes && lane < D / 8) store8(room.warp_outs + at * D + 8 * lane, state.out[r]);
  }
}

/// The barrier of a round's parts. Rounds have two in turn, like the room for their parts: a block
/// may send the next round's before this block has all of this round's, but those of the round
/// after it only with an answer to the next.
__device__ inline uint32_t joined_of(const Room& room, const Place& place) {
  return room.joined + 8 * static_cast<uint32_t>(place.round % 2);
}

/// By one thread in every round: what the cluster's blocks are going to send.
__device__ inline void expect_parts(const Room& room, const DecodeAttentionShape& shape,
                                    const DecodeClusterPlan& plan, int D, const Place& place) {
  const int floats = shape.group * (D + 2 * plan.cluster);
  hopper::barrier_expect(joined_of(room, place), static_cast<uint32_t>(floats) * 4);
}

__device__ inline void wait_for_parts(const Room& room, const Place& place) {
  hopper::barrier_wait(joined_of(room, place), static_cast<uint32_t>(place.round / 2) & 1);
}

/// Joins the warps' parts of R heads, and sends each block of the cluster what it joins.
template <int D, int R>
__device__ void send(const Room& room, const DecodeAttentionShape& shape,
                     const DecodeClusterPlan& plan, const Split& split, const Place& place) {
  const int channels = D >> log2_of(plan.cluster);
  for (int i = static_cast<int>(threadIdx.x); i < R * D / 4; i += kThreads) {
    const int r = i / (D / 4), d = 4 * (i % (D / 4)), head = split.first_head + r;
    if (head >= shape.group) return;
    float most = kLowest;
#pragma unroll
    for (int w = 0; w < kWarps; ++w) most = fmaxf(most, room.warp_statistics[2 * (w * R + r)]);
    float sum = 0.0f, value[4] = {};
#pragma unroll
    for (int w = 0; w < kWarps; ++w) {
      const int at = w * R + r;
      const float factor = power_of_2(room.warp_statistics[2 * at] - most);
      const float4 out = *reinterpret_cast<const float4*>(room.warp_outs + at * D + d);
      sum += factor * room.warp_statistics[2 * at + 1];
      value[0] += factor * out.x;
      value[1] += factor * out.y;
      value[2] += factor * out.z;
      value[3] += factor * out.w;
    }
    const int from = (place.round % 2 * plan.cluster + place.rank) * shape.group + head;
    const int to = d * plan.cluster / D;  // d / channels
    hopper::send4(
        hopper::in_block(shared_address(room.outs + from * channels + d - to * channels), to),
        value, hopper::in_block(joined_of(room, place), to));
    const int other = d / 4;
    if (other < plan.cluster) {
      hopper::send2(hopper::in_block(shared_address(room.statistics + 2 * from), other), most, sum,
                    hopper::in_block(joined_of(room, place), other));
    }
  }
}

/// The logarithms of the sums over all blocks. In place of their largest scores the blocks get the
/// factors of their parts.
__device__ inline void join_statistics(const Room& room, const DecodeAttentionShape& shape,
                                       const DecodeClusterPlan& plan, const Place& place) {
  const int head = static_cast<int>(threadIdx.x);
  if (head < shape.group) {
    float* parts = room.statistics + 2 * (place.round % 2 * plan.cluster * shape.group + head);
    float mosts[kMostBlocks], sums[kMostBlocks], most = kLowest, sum = 0.0f;
#pragma unroll
    for (int b = 0; b < kMostBlocks; ++b) {
      const bool there = b < plan.cluster;
      mosts[b] = there ? parts[2 * b * shape.group] : kLowest;
      sums[b] = there ? parts[2 * b * shape.group + 1] : 0.0f;
      most = fmaxf(most, mosts[b]);
    }
#pragma unroll
    for (int b = 0; b < kMostBlocks; ++b) sum += sums[b] * power_of_2(mosts[b] - most);
    const float lse = most + log2f(sum);
    room.lse[head] = lse;
#pragma unroll
    for (int b = 0; b < kMostBlocks; ++b)
      if (b < plan.cluster) parts[2 * b * shape.group] = power_of_2(mosts[b] - lse);
  }
  __syncthreads();
}

/// The result's channels that this block joins.
template <int D>
__device__ void write_out(const Room& room, const DecodeAttentionTensors& t,
                          const DecodeAttentionShape& shape, const DecodeClusterPlan& plan,
                          const Split& split, const Place& place) {
  const int channels = D >> log2_of(plan.cluster);
  const int first = place.round % 2 * plan.cluster * shape.group;
  auto* out = static_cast<__nv_bfloat16*>(t.out) +
              static_cast<int64_t>(split.pair) * shape.group * D + place.rank * channels;
  for (int i = static_cast<int>(threadIdx.x); i < shape.group * channels; i += kThreads) {
    const int head = i * plan.cluster / D, d = i - head * channels;  // i / channels
    float value = 0.0f;
#pragma unroll
    for (int b = 0; b < kMostBlocks; ++b) {
      const int part = first + b * shape.group + head;
      if (b < plan.cluster) value += room.outs[part * channels + d] * room.statistics[2 * part];
    }
    out[head * D + d] = __float2bfloat16_rn(value);
  }
}

/// Adds what the block's keys received; `held`: the mass of the key of each thread's number.
__device__ inline void add_mass(const Room& room, const DecodeAttentionTensors& t,
                                const DecodeAttentionShape& shape, const DecodeClusterPlan& plan,
                                const Split& split, float held) {
  float* mass = t.mass + static_cast<int64_t>(split.pair) * shape.home_slots + split.begin;
  const int thread = static_cast<int>(threadIdx.x);
  for (int i = thread; i < split.end - split.begin; i += kThreads) {
    const int key = split.begin + i;
    float received = 0.0f;
    for (int head = 0; head < shape.group; ++head)
      received += power_of_2(room.scores[head * plan.keys + i] - room.lse[head]);
    if (key + shape.distance > split.slot) received = 0.0f;
    const float before = key == split.slot ? 0.0f : i == thread ? held : __ldcg(mass + i);
    mass[i] = before + received;
  }
}

}  // namespace lococo::decode_cluster
