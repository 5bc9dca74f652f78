// The forms of a frozen matrix in skinny_frozen_kernel.cu: how a lane loads a batch of codes, and
// how they become operands of the tensor cores.
#pragma once

#include <cuda_fp16.h>
#include <cuda_fp8.h>
#include <cuda_runtime.h>

#include "tensor/kit/tensor_core.cuh"
#include "tensor/layers/skinny_frozen_kernel.h"
#include "tensor/layers/skinny_frozen_tiles.cuh"
#include "tensor/layers/skinny_frozen_x.cuh"

namespace lococo {

constexpr int kSkinnyFrozenWarps = 8;
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

/// A place in a warp's work: a tile and the steps of its rows that are next. All warps of a block
/// make as many turns for a tile, the last ones perhaps with nothing.
struct Place {
  int tile, turn;
  Row rows[2];  ///< of this lane: g and g + 8
};

/// The tables of a form in shared memory.
struct SkinnyTables {
  unsigned* pairs;  ///< nf4: [256, 32], for each lane a copy in a bank of its own
  float* tree;      ///< nf4: [256]
};

/// Four codes of FP8, the first in the lowest byte, as two pairs of float16.
__device__ inline void decode_fp8(unsigned codes, unsigned& first, unsigned& second) {
#if __CUDA_ARCH__ >= 890
  asm("{.reg .b16 low, high;\n mov.b32 {low, high}, %2;\n cvt.rn.f16x2.e4m3x2 %0, low;\n "
      "cvt.rn.f16x2.e4m3x2 %1, high;}"
      : "=r"(first), "=r"(second)
      : "r"(codes));
#else
  const auto pair = [](unsigned two) {
    const __half2_raw raw =
        __nv_cvt_fp8x2_to_halfraw2(static_cast<__nv_fp8x2_storage_t>(two), __NV_E4M3);
    return static_cast<unsigned>(raw.x) | static_cast<unsigned>(raw.y) << 16;
  };
  first = pair(codes & 0xffffU);
  second = pair(codes >> 16);
#endif
}

/// Four bytes of NF4 as pairs of float16. A byte is brought to where it counts the rows of the
/// table; lop3 is (a & b) | c.
__device__ inline void decode_nf4(const SkinnyTables& tables, unsigned codes,
                                  unsigned (&pairs)[4]) {
  const unsigned lane = threadIdx.x % 32 * 4;
  const auto look_up = [&](unsigned shifted) {
    unsigned at;
    asm("lop3.b32 %0, %1, 0x7f80, %2, 0xea;" : "=r"(at) : "r"(shifted), "r"(lane));
    return *reinterpret_cast<const unsigned*>(reinterpret_cast<const char*>(tables.pairs) + at);
  };
  pairs[0] = look_up(codes << 7);
  pairs[1] = look_up(codes >> 1);
  pairs[2] = look_up(codes >> 9);
  pairs[3] = look_up(codes >> 17);
}

/// Codes of rows g and g + 8 side by side with x's 16 elements of this lane.
__device__ inline void add_fp8(float (&sum)[4], uint4 low, uint4 high, const unsigned (&x)[8]) {
  const unsigned lows[4] = {low.x, low.y, low.z, low.w};
  const unsigned highs[4] = {high.x, high.y, high.z, high.w};
#pragma unroll
  for (int k = 0; k < 4; ++k) {
    unsigned a[4];
    decode_fp8(lows[k], a[0], a[2]);
    decode_fp8(highs[k], a[1], a[3]);
    multiply_add_half(sum, a, x[2 * k], x[2 * k + 1]);
  }
}

/// The same of NF4, for which `scales` multiply the sums of each row.
__device__ inline void add_nf4(float (&sum)[4], uint2 low, uint2 high, const unsigned (&x)[8],
                               const SkinnyTables& tables, const float (&scales)[2]) {
  float part[4] = {0.0F, 0.0F, 0.0F, 0.0F};
#pragma unroll
  for (int k = 0; k < 2; ++k) {
    unsigned lows[4], highs[4];
    decode_nf4(tables, k == 0 ? low.x : low.y, lows);
    decode_nf4(tables, k == 0 ? high.x : high.y, highs);
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int i = 2 * half;
      const unsigned a[4] = {lows[i], highs[i], lows[i + 1], highs[i + 1]};
      multiply_add_half(part, a, x[4 * k + i], x[4 * k + i + 1]);
    }
  }
#pragma unroll
  for (int i = 0; i < 4; ++i) sum[i] += scales[i / 2] * part[i];
}

// --- the forms: what a batch is, and how it is added to the sums

struct Fp8Form {
  static constexpr int kSteps = 2;  // of 64 values in a batch
  static constexpr int kTableBytes = 0;

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

  struct Scales {};
  __device__ static Scales scales(const Batch&, const SkinnyTables&) { return {}; }

  __device__ static void add(float (&sum)[4], const Batch& batch, const Scales&, int i,
                             const unsigned (&x)[8], const SkinnyTables&) {
    add_fp8(sum, batch.codes[0][i], batch.codes[1][i], x);
  }

  /// What a row's sum is multiplied with.
  __device__ static float row_scale(const SkinnyFrozenTensors& t, const Row& row) {
    return field_of(t, row.matrix, [](const auto& m) { return m.row_scales; })[row.row];
  }

  __device__ static void make_tables(const SkinnyFrozenTensors&, const SkinnyTables&) {}
};

struct Nf4Form {
  static constexpr int kSteps = 4;
  static constexpr int kTableBytes = kNf4Pairs * (32 + 1) * 4;

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
  __device__ static Scales scales(const Batch& batch, const SkinnyTables& tables) {
    Scales scales;
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      const float part = tables.tree[batch.scale_code[r]];
      scales.own[r] = __fadd_rn(__fmul_rn(part, batch.group_scale[r]), batch.offset[r]);
    }
    return scales;
  }

  __device__ static void add(float (&sum)[4], const Batch& batch, const Scales& scales, int i,
                             const unsigned (&x)[8], const SkinnyTables& tables) {
    const int from = (static_cast<int>(threadIdx.x) % 32 & ~3) + i;
    const float of_step[2] = {__shfl_sync(0xffffffffU, scales.own[0], from),
                              __shfl_sync(0xffffffffU, scales.own[1], from)};
    add_nf4(sum, batch.codes[0][i], batch.codes[1][i], x, tables, of_step);
  }

  __device__ static float row_scale(const SkinnyFrozenTensors&, const Row&) { return 1.0F; }

  /// Warp w writes the bytes whose lower 4 bits are w or w + 8: loads that wait for nothing.
  __device__ static void make_tables(const SkinnyFrozenTensors& t, const SkinnyTables& tables) {
    static_assert(kSkinnyFrozenWarps == 8);
    const int thread = static_cast<int>(threadIdx.x), lane = thread % 32, warp = thread / 32;
    tables.tree[thread] = __ldg(t.tree_256 + thread);
    const float second[2] = {__ldg(t.values_16 + warp), __ldg(t.values_16 + warp + 8)};
    unsigned* to = tables.pairs + 32 * warp + lane;
#pragma unroll
    for (int high = 0; high < 16; ++high) {
      const float first = __ldg(t.values_16 + high);
#pragma unroll
      for (int i = 0; i < 2; ++i) to[32 * (16 * high + 8 * i)] = half2_bits(first, second[i]);
    }
  }
};

}  // namespace lococo
