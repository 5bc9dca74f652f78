#include <cuda_runtime.h>

#include <type_traits>

#include "lococo/selection_kernel.h"

namespace lococo {
namespace {

constexpr int kThreads = 256;
constexpr int kWarps = kThreads / 32;
constexpr unsigned kAllLanes = 0xffffffffU;

/// Sums over a thread block, one barrier each: two sets of totals in turn, so that a fast warp
/// does not overwrite what a slow one still reads.
class BlockCounter {
 public:
  __device__ explicit BlockCounter(int (*totals)[kWarps]) : totals_(totals) {}

  /// The sum of `value` over all threads.
  __device__ int sum(int value) {
    const int* totals = share(__reduce_add_sync(kAllLanes, value));
    int sum = 0;
#pragma unroll
    for (int warp = 0; warp < kWarps; ++warp) sum += totals[warp];
    return sum;
  }

  /// The sum of `value` over the threads before this one.
  __device__ int before(int value) {
    const int lane = threadIdx.x % 32, own_warp = threadIdx.x / 32;
    int up_to_here = value;
#pragma unroll
    for (int distance = 1; distance < 32; distance *= 2) {
      const int other = __shfl_up_sync(kAllLanes, up_to_here, distance);
      if (lane >= distance) up_to_here += other;
    }
    const int* totals = share(__shfl_sync(kAllLanes, up_to_here, 31));
    int sum = up_to_here - value;
#pragma unroll
    for (int warp = 0; warp < kWarps; ++warp) sum += warp < own_warp ? totals[warp] : 0;
    return sum;
  }

 private:
  __device__ const int* share(int warp_total) {
    int* totals = totals_[turn_];
    turn_ ^= 1;
    if (threadIdx.x % 32 == 0) totals[threadIdx.x / 32] = warp_total;
    __syncthreads();
    return totals;
  }

  int (*totals_)[kWarps];
  int turn_ = 0;
};

/// A thread owns kItems neighbouring slots; bit i of a set stands for the i-th of them.
template <int kItems>
__device__ int count_at_least(const uint32_t (&keys)[kItems], uint32_t set, uint32_t threshold) {
  int count = 0;
#pragma unroll
  for (int i = 0; i < kItems; ++i) count += (set >> i & 1U) != 0 && keys[i] >= threshold ? 1 : 0;
  return count;
}

/// The `count` heaviest slots of the block's set, at least as large: the bits of the lightest
/// chosen key are found from the highest down.
template <int kItems>
__device__ uint32_t choose_heaviest(const uint32_t (&keys)[kItems], uint32_t set, int count,
                                    BlockCounter& counter) {
  if (count == 0) return 0;
  uint32_t lightest = 0;
#pragma unroll 1
  for (int bit = 31; bit >= 0; --bit) {
    const uint32_t threshold = lightest | 1U << bit;
    if (counter.sum(count_at_least(keys, set, threshold)) >= count) lightest = threshold;
  }
  uint32_t heavier = 0, equal = 0;
#pragma unroll
  for (int i = 0; i < kItems; ++i) {
    const uint32_t in_set = set >> i & 1U;
    heavier |= (keys[i] > lightest ? in_set : 0U) << i;
    equal |= (keys[i] == lightest ? in_set : 0U) << i;
  }
  const int equal_chosen = count - counter.sum(__popc(heavier));
  int rank = counter.before(__popc(equal));
  uint32_t chosen = heavier;
#pragma unroll
  for (int i = 0; i < kItems; ++i) {
    if ((equal >> i & 1U) != 0 && rank++ < equal_chosen) chosen |= 1U << i;
  }
  return chosen;
}

/// One thread block for each row.
template <int kItems>
__global__ void __launch_bounds__(kThreads)
    selection_kernel(const float* mass, SelectionLists lists, SelectionShape shape) {
  __shared__ int totals[2][kWarps];
  BlockCounter counter(totals);
  const int64_t row = blockIdx.x;
  const float* row_mass =
      mass + row / shape.heads * shape.batch_stride + row % shape.heads * shape.head_stride;
  const int first = static_cast<int>(threadIdx.x) * kItems;

  uint32_t keys[kItems];
  uint32_t valid = 0, fixed = 0;
#pragma unroll
  for (int i = 0; i < kItems; ++i) {
    const int slot = first + i;
    const bool exists = slot < shape.slots;
    keys[i] = exists ? ordered_bits(row_mass[slot]) : 0;
    valid |= (exists ? 1U : 0U) << i;
    fixed |= (exists && (slot < shape.sinks || slot >= shape.slots - shape.local) ? 1U : 0U) << i;
  }
  const uint32_t kept = fixed | choose_heaviest(keys, valid & ~fixed,
                                                shape.kept - shape.sinks - shape.local, counter);
  const uint32_t mixed = choose_heaviest(keys, valid & ~kept, shape.mixed, counter);

  // Neither count exceeds 8192, so one sum carries both.
  const int before = counter.before(__popc(kept) | __popc(mixed) << 16);
  int kept_before = before & 0xffff, mixed_before = before >> 16;
  const int kept_slots = shape.kept, result_slots = shape.kept + shape.mixed;
  int32_t* source = lists.source + row * result_slots;
  int32_t* target = lists.target + row * result_slots;
  int32_t* rest = lists.rest + row * (shape.slots - kept_slots);
  int32_t* residual = lists.residual + row * shape.mixed;
#pragma unroll
  for (int i = 0; i < kItems; ++i) {
    const int slot = first + i;
    if (slot >= shape.slots) break;
    const int in_time = kept_before + mixed_before;
    if ((kept >> i & 1U) != 0) {
      source[kept_before] = slot;
      target[kept_before] = shape.timed ? in_time : kept_before;
      ++kept_before;
      continue;
    }
    const int place = slot - kept_before;
    if (lists.rest != nullptr) rest[place] = slot;
    if ((mixed >> i & 1U) == 0) continue;
    const int entry = kept_slots + mixed_before;
    source[entry] = slot;
    target[entry] = shape.timed ? in_time : entry;
    residual[mixed_before] = place;
    ++mixed_before;
  }
}

/// score + weight * log(mass + floor), each step rounded by itself as tensor operations round it.
__device__ float with_mass(float score, float mass, float weight) {
  const float log_mass = logf(__fadd_rn(mass, static_cast<float>(kMassFloor)));
  return __fadd_rn(score, __fmul_rn(weight, log_mass));
}

/// One thread block for each row.
template <int kItems>
__global__ void __launch_bounds__(kThreads)
    two_shares_kernel(TwoShares shares, SelectionLists lists, int kept_slots) {
  __shared__ int totals[2][kWarps];
  BlockCounter counter(totals);
  const int64_t row = blockIdx.x, batch = row / shares.heads, head = row % shares.heads;
  const float* score =
      shares.score.data + batch * shares.score.batch_stride + head * shares.score.head_stride;
  const int first = static_cast<int>(threadIdx.x) * kItems;

  uint32_t keys[kItems];
  uint32_t valid = 0, fixed = 0;
#pragma unroll
  for (int i = 0; i < kItems; ++i) {
    const int slot = first + i;
    const bool exists = slot < shares.slots;
    keys[i] = exists ? ordered_bits(score[slot]) : 0;
    valid |= (exists ? 1U : 0U) << i;
    fixed |= (exists && (slot < shares.sinks || slot >= shares.slots - shares.local) ? 1U : 0U)
             << i;
  }
  uint32_t kept = fixed | choose_heaviest(keys, valid & ~fixed, shares.alone, counter);
  if (shares.massed > 0) {  // for all threads alike
    const float* mass =
        shares.mass.data + batch * shares.mass.batch_stride + head * shares.mass.head_stride;
    const float weight = shares.mass_weight[head];
#pragma unroll
    for (int i = 0; i < kItems; ++i) {
      const int slot = first + i;
      if (slot < shares.slots) keys[i] = ordered_bits(with_mass(score[slot], mass[slot], weight));
    }
    kept |= choose_heaviest(keys, valid & ~kept, shares.massed, counter);
  }

  int entry = counter.before(__popc(kept));
  int32_t* source = lists.source + row * kept_slots;
  int32_t* target = lists.target + row * kept_slots;
#pragma unroll
  for (int i = 0; i < kItems; ++i) {
    if ((kept >> i & 1U) == 0) continue;
    source[entry] = first + i;
    target[entry] = entry;
    ++entry;
  }
}

/// Calls launch with the number of slots of a thread, as a type.
template <typename Launch>
void for_items(int slots, const Launch& launch) {
  static_assert(kMaxSelectionSlots == 32 * kThreads, "a set has one bit for each slot of a thread");
  if (slots <= 4 * kThreads) {
    launch(std::integral_constant<int, 4>());
  } else if (slots <= 8 * kThreads) {
    launch(std::integral_constant<int, 8>());
  } else if (slots <= 16 * kThreads) {
    launch(std::integral_constant<int, 16>());
  } else {
    launch(std::integral_constant<int, 32>());
  }
}

}  // namespace

void launch_selection(const float* mass, const SelectionLists& lists, const SelectionShape& shape,
                      CUstream_st* stream) {
  const auto rows = static_cast<unsigned>(shape.batches * shape.heads);
  for_items(shape.slots, [&](auto items) {
    selection_kernel<decltype(items)::value><<<rows, kThreads, 0, stream>>>(mass, lists, shape);
  });
}

void launch_two_shares(const TwoShares& shares, const SelectionLists& lists, CUstream_st* stream) {
  const auto rows = static_cast<unsigned>(shares.rows);
  for_items(shares.slots, [&](auto items) {
    two_shares_kernel<decltype(items)::value>
        <<<rows, kThreads, 0, stream>>>(shares, lists, shares.kept());
  });
}

}  // namespace lococo
