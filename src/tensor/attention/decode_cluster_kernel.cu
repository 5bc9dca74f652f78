// A cluster of thread blocks takes a (sequence, key-value head) pair: each block copies its part of
// the keys and values into shared memory, all at once and before the kernels before have ended, and
// the blocks join their parts there too (flash decoding without a way through global memory). The
// next pair's are on their way while the blocks join.
#include <cuda_runtime.h>

#include <algorithm>

#include "tensor/attention/decode_cluster_join.cuh"
#include "tensor/attention/decode_cluster_kernel.h"
#include "tensor/attention/decode_cluster_part.cuh"
#include "tensor/attention/decode_cluster_room.cuh"
#include "tensor/attention/decode_softmax.cuh"
#include "tensor/kit/cluster.cuh"
#include "tensor/kit/dependent_launch.cuh"
#include "tensor/kit/shared_barrier.cuh"

namespace lococo {
namespace {

using namespace decode_cluster;

constexpr int kBlocksPerProcessor = 2;

template <int D, int R>
__device__ typename PartState<D, R>::Queries load_queries(const DecodeAttentionTensors& t,
                                                          const DecodeAttentionShape& shape,
                                                          const Split& split) {
  using S = PartState<D, R>;
  return S::load_queries(t, shape, split, static_cast<int>(threadIdx.x) % S::kLanes);
}

/// Runs over the part's keys once they are there.
template <int D, int R, bool kRotate>
__device__ void attend(PartState<D, R>& state, const DecodeAttentionTensors& t,
                       const DecodeAttentionShape& shape, const DecodeClusterPlan& plan,
                       const Room& room, const Split& split, int round) {
  using S = PartState<D, R>;
  constexpr int kTile = S::kKeys * S::kUnroll;
  const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
  // Lanes without a part of their own take the last one; their queries are zeros.
  const int part = min(lane % S::kLanes, D / 8 - 1), group = lane / S::kLanes;
  const int count = split.end - split.begin;
  const __nv_bfloat16* keys = keys_of(room) + 4 * part;
  const __nv_bfloat16* values = values_of(room, plan, D) + 8 * part;

  for (int tile = warp * kTile; tile < count; tile += kWarps * kTile) {
    int index[S::kUnroll];  // those beyond the end are the last key again
    Angles4 angles[S::kUnroll];
#pragma unroll
    for (int u = 0; u < S::kUnroll; ++u) {
      index[u] = min(tile + u * S::kKeys + group, count - 1);
      if constexpr (kRotate) {
        const int row = t.places == nullptr ? split.begin + index[u] : room.rows[index[u]];
        angles[u] = Angles4::load(t, row * D + 4 * part);
      }
    }
    hopper::barrier_wait(room.loaded, static_cast<uint32_t>(round) & 1);
    float scores[S::kUnroll][R];
    uint4 packed[S::kUnroll];
#pragma unroll
    for (int u = 0; u < S::kUnroll; ++u) {
      float x[4], y[4];
      unpack4(*reinterpret_cast<const uint2*>(keys + index[u] * D), x);
      unpack4(*reinterpret_cast<const uint2*>(keys + index[u] * D + D / 2), y);
      packed[u] = *reinterpret_cast<const uint4*>(values + index[u] * D);
      if constexpr (kRotate) angles[u].turn(x, y);
      state.score(x, y, scores[u]);
    }
    state.sum_lanes(scores);
#pragma unroll
    for (int u = 0; u < S::kUnroll; ++u) {
#pragma unroll
      for (int r = 0; r < R; ++r) {
        if (t.mass != nullptr && lane % S::kLanes == 0 && split.first_head + r < shape.group)
          room.scores[(split.first_head + r) * plan.keys + index[u]] = scores[u][r];
        if (tile + u * S::kKeys + group >= count) scores[u][r] = kLowest;
      }
    }
    state.add(scores, packed);
  }
}

/// All query heads of a pair, R at a time, up to what the cluster's other blocks get.
template <int D, int R, bool kRotate>
__device__ void attend_heads(const DecodeAttentionTensors& t, const DecodeAttentionShape& shape,
                             const DecodeClusterPlan& plan, const Room& room, Split split,
                             const Place& place, typename PartState<D, R>::Queries queries) {
  for (;;) {
    PartState<D, R> state;
    state.begin(queries);
    attend<D, R, kRotate>(state, t, shape, plan, room, split, place.round);
    if (split.first_head > 0) __syncthreads();  // the heads before have been sent
    keep<D, R>(state, room);
    __syncthreads();
    send<D, R>(room, shape, plan, split, place);
    split.first_head += R;
    if (split.first_head >= shape.group) return;
    queries = load_queries<D, R>(t, shape, split);
  }
}

/// Grid: the blocks of each cluster beside each other; a cluster's pairs are neighbours.
template <int D, int R, bool kRotate>
__global__ void __launch_bounds__(kThreads, kBlocksPerProcessor)
    decode_cluster_kernel(DecodeAttentionTensors t, DecodeAttentionShape shape,
                          DecodeClusterPlan plan, Layout layout) {
#if __CUDA_ARCH__ >= 900
  extern __shared__ __align__(16) unsigned char memory[];
  let_next_kernel_start();
  const Room room(memory, layout);
  const bool loads = threadIdx.x == 0;
  Place place = {static_cast<int>(blockIdx.x) & (plan.cluster - 1), 0};
  const int first = (static_cast<int>(blockIdx.x) >> log2_of(plan.cluster)) * plan.rounds;
  const int rounds = min(plan.rounds, shape.batch * shape.kv_heads - first);
  const auto split_in = [&](int round) {
    return split_of<D>(t, shape, plan, place.rank, first + round);
  };
  if (loads) {
    init_barriers(room);
    load_part<D>(t, shape, plan, room, split_in(0));
  }
  hopper::cluster_arrive();
  Split split = split_in(0);
  Held held = hold(t, shape, split);
  wait_for_earlier_kernels();
  hopper::cluster_wait();
  auto queries = load_queries<D, R>(t, shape, split);
  for (;;) {
    if (loads) expect_parts(room, shape, plan, D, place);
    append<D>(t, shape, plan, room, split);
    if (t.places != nullptr) note_rows(t, shape, room, split, held.row);
    __syncthreads();
    attend_heads<D, R, kRotate>(t, shape, plan, room, split, place, queries);
    const bool last = place.round + 1 == rounds;
    const Split next = split_in(last ? place.round : place.round + 1);
    if (loads && !last) load_part<D>(t, shape, plan, room, next);
    const Held next_held = last ? Held() : hold(t, shape, next);
    queries = load_queries<D, R>(t, shape, next);
    wait_for_parts(room, place);
    join_statistics(room, shape, plan, place);
    write_out<D>(room, t, shape, plan, split, place);
    if (t.mass != nullptr) add_mass(room, t, shape, plan, split, held.mass);
    if (last) return;
    split = next;
    held = next_held;
    ++place.round;
  }
#endif
}

using Kernel = void (*)(DecodeAttentionTensors, DecodeAttentionShape, DecodeClusterPlan, Layout);

template <int D, int R>
Kernel kernel_of(bool rotate) {
  return rotate ? decode_cluster_kernel<D, R, true> : decode_cluster_kernel<D, R, false>;
}

/// Query heads of a pair that a warp takes at a time.
int heads_at_a_time(int group) { return group <= 2 ? group : 4; }

template <int D>
Kernel kernel_of(int group, bool rotate) {
  const int R = heads_at_a_time(group);
  return R == 1   ? kernel_of<D, 1>(rotate)
         : R == 2 ? kernel_of<D, 2>(rotate)
                  : kernel_of<D, 4>(rotate);
}

Kernel kernel_of(const DecodeAttentionShape& shape, bool rotate) {
  if (shape.head_dim == 64) return kernel_of<64>(shape.group, rotate);
  if (shape.head_dim == 96) return kernel_of<96>(shape.group, rotate);
  return kernel_of<128>(shape.group, rotate);
}

Layout layout_of(const DecodeAttentionShape& shape, const DecodeClusterPlan& plan) {
  return Layout(shape.head_dim, heads_at_a_time(shape.group), shape, plan);
}

hopper::ClusterLaunch launch_of(const DecodeAttentionShape& shape, const DecodeClusterPlan& plan,
                                unsigned shared_bytes, CUstream_st* stream) {
  return hopper::ClusterLaunch(plan.cluster, plan.clusters * plan.cluster, kThreads, shared_bytes,
                               stream, shape.overlap);
}

struct Device {
  int major = 0, processors = 0, shared_bytes = 0;
};

Device current_device() {
  Device device;
  int number = 0;
  if (cudaGetDevice(&number) != cudaSuccess) return device;
  cudaDeviceGetAttribute(&device.major, cudaDevAttrComputeCapabilityMajor, number);
  cudaDeviceGetAttribute(&device.processors, cudaDevAttrMultiProcessorCount, number);
  cudaDeviceGetAttribute(&device.shared_bytes, cudaDevAttrMaxSharedMemoryPerBlockOptin, number);
  return device;
}

int parts(int whole, int part) { return (whole + part - 1) / part; }

/// Blocks of a cluster: enough that two blocks of every processor have work, and that their parts
/// leave room for other kernels' blocks beside them.
int choose_cluster(const DecodeAttentionShape& shape, int processors) {
  constexpr int kMostBytes = 48 << 10, kFewestKeys = 8;
  const int pairs = shape.batch * shape.kv_heads;
  const auto is_enough = [&](int cluster) {
    return pairs * cluster >= kBlocksPerProcessor * processors &&
           parts(shape.capacity, cluster) * shape.head_dim * 4 <= kMostBytes;
  };
  int cluster = 1;
  while (cluster < kMostBlocks && !is_enough(cluster) && shape.capacity > kFewestKeys * cluster)
    cluster *= 2;
  return cluster;
}

/// Clusters of so many blocks, as many at a time as fit on the device; {} where none fits.
DecodeClusterPlan plan_with(const DecodeAttentionShape& shape, const Device& device, int cluster) {
  DecodeClusterPlan plan;
  plan.cluster = cluster;
  plan.keys = parts(shape.capacity, cluster);
  plan.clusters = 1;
  const unsigned bytes = layout_of(shape, plan).bytes;
  if (bytes > static_cast<unsigned>(device.shared_bytes)) return {};
  const int fitting =
      launch_of(shape, plan, bytes, nullptr).fitting(kernel_of(shape, /*rotate=*/true));
  if (fitting == 0) return {};
  plan.rounds = parts(shape.batch * shape.kv_heads, fitting);
  plan.clusters = parts(shape.batch * shape.kv_heads, plan.rounds);
  return plan;
}

}  // namespace

bool is_faster_in_clusters(const DecodeAttentionShape& shape, const DecodeClusterPlan& plan) {
  // Measured on an H200: what the other kernel waits for is hidden where each processor has many
  // pairs to take, and then it is faster, unless it would turn every key for a single query head.
  constexpr int kManyRounds = 10;
  const bool turns_for_one = shape.rotate_cache && shape.group == 1;
  return plan.cluster > 0 && (plan.rounds < kManyRounds || turns_for_one);
}

DecodeClusterPlan plan_decode_clusters(const DecodeAttentionShape& shape) {
  const Device device = current_device();
  if (device.major < 9) return {};
  // All that a block may have, since other shapes run the same kernels.
  for (const bool rotate : {false, true}) {
    if (cudaFuncSetAttribute(kernel_of(shape, rotate), cudaFuncAttributeMaxDynamicSharedMemorySize,
                             device.shared_bytes) != cudaSuccess) {
      cudaGetLastError();
      return {};
    }
  }
  auto plan = plan_with(shape, device, choose_cluster(shape, device.processors));
  while (plan.rounds > 1 && plan.cluster > 1) {  // rather one round of larger parts
    const auto larger = plan_with(shape, device, plan.cluster / 2);
    if (larger.rounds != 1) break;
    plan = larger;
  }
  return plan;
}

void launch_decode_clusters(const DecodeAttentionTensors& tensors,
                            const DecodeAttentionShape& shape, const DecodeClusterPlan& plan,
                            CUstream_st* stream) {
  const Layout layout = layout_of(shape, plan);
  launch_of(shape, plan, layout.bytes, stream)
      .run(kernel_of(shape, shape.rotate_cache), tensors, shape, plan, layout);
}

}  // namespace lococo
