// Each thread block reads the keys of one split for the query heads of one (sequence, key-value
// head) pair, with an online softmax; the block of a pair that arrives last merges the splits in
// order and adds the probabilities to the mass (flash decoding).
#include <cuda_runtime.h>

#include "tensor/attention/decode_attention_kernel.h"
#include "tensor/attention/decode_combine.cuh"
#include "tensor/attention/decode_softmax.cuh"
#include "tensor/kit/dependent_launch.cuh"

namespace lococo {
namespace {

using namespace decode_combine;

/// Key and value of the new token, by every block that will read them: all write the same bytes.
template <int D>
__device__ void append(const DecodeAttentionTensors& t, const DecodeAttentionShape& shape,
                       const Split& split) {
  const int d = static_cast<int>(threadIdx.x);
  if (d < D) {
    const int64_t from = static_cast<int64_t>(split.sequence) * shape.kv_stride + split.kv_head * D;
    const auto* k = static_cast<const __nv_bfloat16*>(t.k) + from;
    const auto* v = static_cast<const __nv_bfloat16*>(t.v) + from;
    const int64_t to = (static_cast<int64_t>(split.pair) * shape.home_slots + split.slot) * D + d;
    __nv_bfloat16 key = k[d];
    if (!shape.rotate_cache) {
      const float other =
          d < D / 2 ? -__bfloat162float(k[d + D / 2]) : __bfloat162float(k[d - D / 2]);
      const int64_t angle = split.angles + d;
      key = __float2bfloat16_rn(__bfloat162float(key) * t.cos[angle] + other * t.sin[angle]);
    }
    static_cast<__nv_bfloat16*>(t.k_cache)[to] = key;
    static_cast<__nv_bfloat16*>(t.v_cache)[to] = v[d];
  }
  if (t.places != nullptr && d == 0) {
    t.places[static_cast<int64_t>(split.pair) * shape.home_slots + split.slot] =
        t.cursor[2 * split.sequence + 1];
  }
  __syncthreads();
}

/// Runs over the split's keys: kUnroll keys of a lane are in flight at a time.
template <int D, int R, bool kRotate>
__device__ void attend(State<D, R>& state, const DecodeAttentionTensors& t,
                       const DecodeAttentionShape& shape, const Split& split) {
  using S = State<D, R>;
  const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
  const int part = lane % S::kLanes, group = lane / S::kLanes;
  const bool works = part < D / 8;
  const int64_t base = static_cast<int64_t>(split.pair) * shape.home_slots * D;
  const auto* k_cache = static_cast<const __nv_bfloat16*>(t.k_cache) + base;
  const auto* v_cache = static_cast<const __nv_bfloat16*>(t.v_cache) + base;
  const int* places = t.places == nullptr
                          ? nullptr
                          : t.places + static_cast<int64_t>(split.pair) * shape.home_slots;
  constexpr int kTile = S::kKeys * S::kUnroll;

  for (int tile = split.begin + warp * kTile; tile < split.end; tile += kWarps * kTile) {
    uint2 low[S::kUnroll], high[S::kUnroll];
    uint4 values[S::kUnroll];
#pragma unroll
    for (int u = 0; u < S::kUnroll; ++u) {
      const int key = tile + u * S::kKeys + group;
      low[u] = high[u] = make_uint2(0, 0);
      values[u] = make_uint4(0, 0, 0, 0);
      if (works && key < split.end) {
        const int64_t at = static_cast<int64_t>(key) * D;
        low[u] = __ldcg(reinterpret_cast<const uint2*>(k_cache + at + 4 * part));
        high[u] = __ldcg(reinterpret_cast<const uint2*>(k_cache + at + D / 2 + 4 * part));
        values[u] = __ldcg(reinterpret_cast<const uint4*>(v_cache + at + 8 * part));
      }
    }
    float scores[S::kUnroll][R];
#pragma unroll
    for (int u = 0; u < S::kUnroll; ++u) {
      const int key = tile + u * S::kKeys + group;
      float x[4], y[4];
      unpack4(low[u], x);
      unpack4(high[u], y);
      if (kRotate && works && key < split.end) {
        const int row = places == nullptr ? key : __ldcg(places + key);
        Angles4::load(t, static_cast<int64_t>(row) * D + 4 * part).turn(x, y);
      }
      state.score(x, y, scores[u]);
    }
    state.sum_lanes(scores);
    if (t.scores != nullptr && part == 0) {
#pragma unroll
      for (int u = 0; u < S::kUnroll; ++u) {
        const int key = tile + u * S::kKeys + group;
#pragma unroll
        for (int r = 0; r < R; ++r) {
          const int head = split.first_head + r;
          if (key < split.end && head < shape.group) {
            t.scores[(static_cast<int64_t>(split.pair) * shape.group + head) * shape.capacity +
                     key] = scores[u][r];
          }
        }
      }
    }
#pragma unroll
    for (int u = 0; u < S::kUnroll; ++u) {
      if (tile + u * S::kKeys + group < split.end) continue;
#pragma unroll
      for (int r = 0; r < R; ++r) scores[u][r] = kLowest;
    }
    state.add(scores, values);
  }
}

/// Grid: pairs (first, so that neighbouring blocks read the same rows of the angles), splits, and
/// chunks of R query heads.
template <int D, int R, bool kRotate>
__global__ void __launch_bounds__(kThreads)
    decode_attention_kernel(DecodeAttentionTensors t, DecodeAttentionShape shape) {
  let_next_kernel_start();
  wait_for_earlier_kernels();
  Split split;
  split.pair = static_cast<int>(blockIdx.x);
  split.sequence = split.pair / shape.kv_heads;
  split.kv_head = split.pair % shape.kv_heads;
  split.first_head = static_cast<int>(blockIdx.z) * R;
  split.slot = t.cursor[2 * split.sequence];
  split.angles = static_cast<int64_t>(split.sequence) * shape.table_stride +
                 static_cast<int64_t>(t.cursor[2 * split.sequence + 1]) * D;
  split.begin = static_cast<int>(blockIdx.y) * shape.keys_per_split;
  split.end = min(split.begin + shape.keys_per_split, split.slot + 1);
  if (split.begin < split.end) {
    if (split.end == split.slot + 1) append<D>(t, shape, split);
    State<D, R> state;
    using S = State<D, R>;
    state.begin(S::load_queries(t, shape, split, static_cast<int>(threadIdx.x) % S::kLanes));
    attend<D, R, kRotate>(state, t, shape, split);
    write_partial(state, t, shape, split);
  }
  if (arrived_last(t, split.pair)) combine<D>(t, shape, split);
}

template <int D, int R>
void launch_heads(const DecodeAttentionTensors& t, const DecodeAttentionShape& shape,
                  CUstream_st* stream) {
  const dim3 grid(
      static_cast<unsigned>(shape.batch * shape.kv_heads),
      static_cast<unsigned>((shape.capacity + shape.keys_per_split - 1) / shape.keys_per_split),
      static_cast<unsigned>((shape.group + R - 1) / R));
  if (shape.rotate_cache) {
    launch_dependent(decode_attention_kernel<D, R, true>, grid, kThreads, 0, stream, shape.overlap,
                     t, shape);
  } else {
    launch_dependent(decode_attention_kernel<D, R, false>, grid, kThreads, 0, stream, shape.overlap,
                     t, shape);
  }
}

template <int D>
void launch_width(const DecodeAttentionTensors& t, const DecodeAttentionShape& shape,
                  CUstream_st* stream) {
  if (shape.group == 1) {
    launch_heads<D, 1>(t, shape, stream);
  } else if (shape.group == 2) {
    launch_heads<D, 2>(t, shape, stream);
  } else if (shape.group <= 4) {
    launch_heads<D, 4>(t, shape, stream);
  } else {
    launch_heads<D, 8>(t, shape, stream);
  }
}

}  // namespace

void launch_decode_attention(const DecodeAttentionTensors& tensors,
                             const DecodeAttentionShape& shape, CUstream_st* stream) {
  if (shape.head_dim == 64) {
    launch_width<64>(tensors, shape, stream);
  } else if (shape.head_dim == 96) {
    launch_width<96>(tensors, shape, stream);
  } else {
    launch_width<128>(tensors, shape, stream);
  }
}

}  // namespace lococo
