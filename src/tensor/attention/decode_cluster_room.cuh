// What a block of the decode attention in clusters keeps in shared memory, and where.
#pragma once

#include <cuda_bf16.h>

#include "tensor/attention/decode_cluster_kernel.h"
#include "tensor/kit/shared_address.cuh"

namespace lococo::decode_cluster {

constexpr int kWarps = 8;
constexpr int kThreads = 32 * kWarps;
constexpr int kMostBlocks = 8;  // of a cluster

/// Offsets in bytes, the same in every block of a cluster. D: channels of a head, R: query heads
/// that a warp takes at a time. Made on the host: the kernel has them as constants.
struct Layout {
  unsigned part, loaded, joined, warp_outs, warp_statistics, outs, statistics, scores, lse, rows;
  unsigned bytes = 0;

  Layout(int D, int R, const DecodeAttentionShape& shape, const DecodeClusterPlan& plan) {
    constexpr size_t kHalf = sizeof(__nv_bfloat16), kFloat = sizeof(float);
    part = take(kHalf * 2 * plan.keys * D);
    loaded = take(sizeof(uint64_t));
    joined = take(sizeof(uint64_t) * 2);
    warp_outs = take(kFloat * kWarps * R * D);
    warp_statistics = take(kFloat * kWarps * R * 2);
    outs = take(kFloat * 2 * shape.group * D);
    statistics = take(kFloat * 2 * plan.cluster * shape.group * 2);
    scores = take(kFloat * shape.group * plan.keys);
    lse = take(kFloat * shape.group);
    rows = take(sizeof(int) * plan.keys);
  }

 private:
  unsigned take(size_t count) {
    const unsigned at = bytes;
    bytes += static_cast<unsigned>((count + 15) / 16 * 16);
    return at;
  }
};

/// The same as pointers.
struct Room {
  __nv_bfloat16* part;     ///< [2, keys, D]: keys and values as they lie in the cache
  uint32_t loaded;         ///< a barrier: a round's keys and values are there
  uint32_t joined;         ///< [2] of 8 bytes: the parts of an even, of an odd round are there
  float* warp_outs;        ///< [kWarps, R, D]: what each warp has summed up
  float* warp_statistics;  ///< [kWarps, R, 2]: its largest score and sum of exponentials
  float* outs;        ///< [2, cluster, group, D / cluster]: what the cluster's blocks have, of the
                      ///< channels that this one joins; for pairs of even and of odd rounds
  float* statistics;  ///< [2, cluster, group, 2]
  float* scores;      ///< [group, keys]
  float* lse;         ///< [group]: base-2 logarithm of each head's sum over all keys
  int* rows;          ///< [keys]: of the angles; only where the cache has places

  __device__ Room(unsigned char* memory, const Layout& at)
      : part(reinterpret_cast<__nv_bfloat16*>(memory + at.part)),
        loaded(shared_address(memory + at.loaded)),
        joined(shared_address(memory + at.joined)),
        warp_outs(reinterpret_cast<float*>(memory + at.warp_outs)),
        warp_statistics(reinterpret_cast<float*>(memory + at.warp_statistics)),
        outs(reinterpret_cast<float*>(memory + at.outs)),
        statistics(reinterpret_cast<float*>(memory + at.statistics)),
        scores(reinterpret_cast<float*>(memory + at.scores)),
        lse(reinterpret_cast<float*>(memory + at.lse)),
        rows(reinterpret_cast<int*>(memory + at.rows)) {}
};

/// A cluster's number of blocks is a power of two: a division would cost the kernel's time.
__device__ inline int log2_of(int power) { return 31 - __clz(power); }

__device__ inline __nv_bfloat16* keys_of(const Room& room) { return room.part; }

__device__ inline __nv_bfloat16* values_of(const Room& room, const DecodeClusterPlan& plan, int D) {
  return room.part + plan.keys * D;
}

}  // namespace lococo::decode_cluster
