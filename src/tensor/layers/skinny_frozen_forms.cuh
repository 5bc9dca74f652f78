// The forms of a frozen matrix in skinny_frozen_kernel.cu: how a lane loads a batch of codes, and
// how they become operands of the tensor cores.
#pragma once

#include <cuda_fp16.h>
#include <cuda_fp8.h>
#include <cuda_runtime.h>

#include "tensor/kit/tensor_core.cuh"
#include "tensor/layers/skinny_frozen_kernel.h"

namespace lococo {

constexpr int kSkinnyFrozenWarps = 8;
constexpr int kSkinnyStep = static_cast<int>(kSkinnyFrozenWidthStep);
constexpr int kNf4Pairs = 256;  // a byte of NF4 is two values

/// Codes are read once: they should not push anything else out of the caches.
__device__ inline uint4 load_once(const uint4* from) {
  uint4 value;
  asm volatile("ld.global.nc.L1::no_allocate.v4.u32 {%0, %1, %2, %3}, [%4];"
               : "=r"(value.x), "=r"(value.y), "=r"(value.z), "=r"(value.w)
               : "l"(from));
  return value;
}

__device__ inline uint2 load_once(const uint2* from) {
  uint2 value;
  asm volatile("ld.global.nc.L1::no_allocate.v2.u32 {%0, %1}, [%2];"
               : "=r"(value.x), "=r"(value.y)
               : "l"(from));
  return value;
}

__device__ inline unsigned half2_bits(float low, float high) {
  const __half2 pair = __floats2half2_rn(low, high);
  return *reinterpret_cast<const unsigned*>(&pair);
}

/// The fields of a matrix are chosen one by one: an index that is not constant would copy it to
/// local memory.
template <typename Field>
__device__ inline auto field_of(const SkinnyFrozenTensors& t, int matrix, Field field) {
  return matrix == 0   ? field(t.matrices[0])
         : matrix == 1 ? field(t.matrices[1])
                       : field(t.matrices[2]);
}

/// A row of a matrix, and where its output stands.
struct Row {
  int matrix, row;
  int column;    ///< of `out`
  bool is_real;  ///< beyond the last row that one is repeated, which nobody writes
};

/// A place in a warp's work: a tile and the steps of its rows that are next. All warps of a block
/// make as many turns for a tile, the last ones perhaps with nothing.
struct Place {
  int tile, turn;
  Row rows[2];  ///< of this lane: g and g + 8
};

/// Shared memory: x, then the tables of the form.
struct Shared {
  uint4* x;         ///< [M, stride]: 8 elements a word
  int stride;       ///< of a row, in words: one more than it has, for the banks' sake
  unsigned* pairs;  ///< nf4: [256, 32], for each lane a copy in a bank of its own
  float* tree;      ///< nf4: [256]
};

// --- the forms: what a batch is, and how it is added to the sums

struct Fp8Form {
  static constexpr int kSteps = 2;  // of 64 values in a batch

  struct Batch {
    uint4 codes[2][kSteps];

    __device__ void load(const SkinnyFrozenTensors& t, const Place& place, int first, int steps) {
      const int lane = static_cast<int>(threadIdx.x) % 32;
#pragma unroll
      for (int r = 0; r < 2; ++r) {
        const auto* row = field_of(t, place.rows[r].matrix, [](const auto& m) { return m.codes; }) +
                          static_cast<int64_t>(place.rows[r].row) * steps * kSkinnyStep +
                          16 * (lane % 4);
#pragma unroll
        for (int i = 0; i < kSteps; ++i) {
          codes[r][i] = first + i < steps
                            ? load_once(reinterpret_cast<const uint4*>(
                                  row + static_cast<int64_t>(first + i) * kSkinnyStep))
                            : make_uint4(0, 0, 0, 0);
        }
      }
    }
  };

  __device__ static unsigned decode(unsigned pair) {
    const __half2_raw raw =
        __nv_cvt_fp8x2_to_halfraw2(static_cast<__nv_fp8x2_storage_t>(pair), __NV_E4M3);
    return static_cast<unsigned>(raw.x) | static_cast<unsigned>(raw.y) << 16;
  }

  struct Scales {};
  __device__ static Scales scales(const Batch&, const Shared&) { return {}; }

  __device__ static void add(float (&sum)[4], const Batch& batch, const Scales&, int i,
                             const unsigned (&x)[8], const Shared&) {
    const unsigned low[4] = {batch.codes[0][i].x, batch.codes[0][i].y, batch.codes[0][i].z,
                             batch.codes[0][i].w};
    const unsigned high[4] = {batch.codes[1][i].x, batch.codes[1][i].y, batch.codes[1][i].z,
                              batch.codes[1][i].w};
#pragma unroll
    for (int k = 0; k < 4; ++k) {
      const unsigned a[4] = {decode(low[k] & 0xffffU), decode(high[k] & 0xffffU),
                             decode(low[k] >> 16), decode(high[k] >> 16)};
      multiply_add_half(sum, a, x[2 * k], x[2 * k + 1]);
    }
  }

  /// What a row's sum is multiplied with.
  __device__ static float row_scale(const SkinnyFrozenTensors& t, const Row& row) {
    return field_of(t, row.matrix, [](const auto& m) { return m.row_scales; })[row.row];
  }

  __device__ static void make_tables(const SkinnyFrozenTensors&, const Shared&) {}
};

struct Nf4Form {
  static constexpr int kSteps = 4;

  /// Lane 4 g + t loads and makes the scales of step t for its group of four lanes.
  struct Batch {
    uint2 codes[2][kSteps];
    unsigned scale_code[2];
    float group_scale[2], offset[2];

    __device__ void load(const SkinnyFrozenTensors& t, const Place& place, int first, int steps) {
      const int t4 = static_cast<int>(threadIdx.x) % 4;
#pragma unroll
      for (int r = 0; r < 2; ++r) {
        const Row& at = place.rows[r];
        const int64_t block = static_cast<int64_t>(at.row) * steps + first;
        const auto* codes = field_of(t, at.matrix, [](const auto& m) { return m.codes; }) +
                            block * (kSkinnyStep / 2) + 8 * t4;
#pragma unroll
        for (int i = 0; i < kSteps; ++i) {
          this->codes[r][i] =
              first + i < steps
                  ? load_once(reinterpret_cast<const uint2*>(codes + i * (kSkinnyStep / 2)))
                  : make_uint2(0, 0);
        }
        const bool inside = first + t4 < steps;
        const auto* scale_codes =
            field_of(t, at.matrix, [](const auto& m) { return m.scale_codes; });
        const auto* groups = field_of(t, at.matrix, [](const auto& m) { return m.group_scales; });
        const auto* offsets = field_of(t, at.matrix, [](const auto& m) { return m.offset; });
        scale_code[r] = inside ? __ldg(scale_codes + block + t4) : 0;
        group_scale[r] = inside ? __ldg(groups + (block + t4) / 256) : 0.0F;
        offset[r] = inside ? __ldg(offsets) : 0.0F;  // no scale: the codes there are no zeros
      }
    }
  };

  struct Scales {
    float own[2];  ///< of step t of this lane, of its two rows
  };
  __device__ static Scales scales(const Batch& batch, const Shared& shared) {
    Scales scales;
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      const float part = shared.tree[batch.scale_code[r]];
      scales.own[r] = __fadd_rn(__fmul_rn(part, batch.group_scale[r]), batch.offset[r]);
    }
    return scales;
  }

  __device__ static void add(float (&sum)[4], const Batch& batch, const Scales& scales, int i,
                             const unsigned (&x)[8], const Shared& shared) {
    const int lane = static_cast<int>(threadIdx.x) % 32;
    const unsigned low[2] = {batch.codes[0][i].x, batch.codes[0][i].y};
    const unsigned high[2] = {batch.codes[1][i].x, batch.codes[1][i].y};
    const unsigned* pairs = shared.pairs + lane;
    float part[4] = {0.0F, 0.0F, 0.0F, 0.0F};
#pragma unroll
    for (int k = 0; k < 4; ++k) {
      const unsigned two_low = low[k / 2] >> (k % 2 * 16), two_high = high[k / 2] >> (k % 2 * 16);
      const unsigned a[4] = {pairs[(two_low & 0xffU) * 32], pairs[(two_high & 0xffU) * 32],
                             pairs[(two_low >> 8 & 0xffU) * 32],
                             pairs[(two_high >> 8 & 0xffU) * 32]};
      multiply_add_half(part, a, x[2 * k], x[2 * k + 1]);
    }
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      const float scale = __shfl_sync(0xffffffffU, scales.own[r], (lane & ~3) + i);
      sum[2 * r] += scale * part[2 * r];
      sum[2 * r + 1] += scale * part[2 * r + 1];
    }
  }

  __device__ static float row_scale(const SkinnyFrozenTensors&, const Row&) { return 1.0F; }

  /// Warp w writes the bytes whose lower 4 bits are w or w + 8: loads that wait for nothing.
  __device__ static void make_tables(const SkinnyFrozenTensors& t, const Shared& shared) {
    static_assert(kSkinnyFrozenWarps == 8);
    const int thread = static_cast<int>(threadIdx.x), lane = thread % 32, warp = thread / 32;
    shared.tree[thread] = __ldg(t.tree_256 + thread);
    const float second[2] = {__ldg(t.values_16 + warp), __ldg(t.values_16 + warp + 8)};
    unsigned* to = shared.pairs + 32 * warp + lane;
#pragma unroll
    for (int high = 0; high < 16; ++high) {
      const float first = __ldg(t.values_16 + high);
#pragma unroll
      for (int i = 0; i < 2; ++i) to[32 * (16 * high + 8 * i)] = half2_bits(first, second[i]);
    }
  }
};

}  // namespace lococo
