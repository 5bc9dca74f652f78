// NF4 in skinny_frozen_kernel.cu.
#pragma once

#include <cuda_runtime.h>

#include "tensor/kit/tensor_core.cuh"
#include "tensor/layers/skinny_frozen_forms.cuh"
#include "tensor/layers/skinny_frozen_kernel.h"
#include "tensor/layers/skinny_frozen_tiles.cuh"
#include "tensor/layers/skinny_frozen_x.cuh"

namespace lococo {

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

/// Codes of rows g and g + 8 side by side with x's 16 elements of this lane; `scales` multiply the
/// sums of each row.
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

/// Lane 4 g + t loads and makes the scales of step t for its group of four lanes.
struct Nf4Rows {
  const uint8_t *codes[2], *scale_codes[2];
  const float* groups[2];  ///< of the matrix
  unsigned block[2];       ///< of the row's step t

  Nf4Rows() = default;
  __device__ Nf4Rows(const SkinnyFrozenTensors& t, const SkinnyTiles& tiles, int tile, int steps) {
    const int lane = static_cast<int>(threadIdx.x) % 32;
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      const Row row = tiles.row(tile, lane / 4 + 8 * r);
      const int64_t first = static_cast<int64_t>(row.row) * steps;
      codes[r] = field_of(t, row.matrix, [](const auto& m) { return m.codes; }) +
                 first * (kSkinnyStep / 2);
      block[r] = static_cast<unsigned>(first) + static_cast<unsigned>(lane % 4);
      scale_codes[r] =
          field_of(t, row.matrix, [](const auto& m) { return m.scale_codes; }) + block[r];
      groups[r] = field_of(t, row.matrix, [](const auto& m) { return m.group_scales; });
    }
  }
};

/// What makes the scales of a lane's two rows, of one step each.
struct Nf4ScaleParts {
  unsigned code[2];
  float group[2];

  __device__ void load(const Nf4Rows& rows, int first, bool inside) {
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      code[r] = inside ? __ldg(rows.scale_codes[r] + first) : 0;
      group[r] = inside
                     ? __ldg(rows.groups[r] + (rows.block[r] + static_cast<unsigned>(first)) / 256)
                     : 0.0F;
    }
  }
};

/// The offsets of the scales of a lane's two rows.
class Nf4Offsets {
 public:
  __device__ void enter(const SkinnyTables& tables, const SkinnyTiles& tiles, int tile) {
    const int g = static_cast<int>(threadIdx.x) % 32 / 4;
#pragma unroll
    for (int r = 0; r < 2; ++r) rows_[r] = tables.offsets[tiles.matrix(tile, g + 8 * r)];
  }
  /// The scale of row g + 8 r.
  __device__ float scale(const Nf4ScaleParts& parts, int r, const SkinnyTables& tables) const {
    return __fadd_rn(__fmul_rn(tables.tree[parts.code[r]], parts.group[r]), rows_[r]);
  }

 private:
  float rows_[2] = {0.0F, 0.0F};
};

/// What the forms of NF4 have in common.
struct Nf4Common {
  static constexpr int kSteps = 4;
  using Rows = Nf4Rows;

  __device__ static float row_scale(const SkinnyFrozenTensors&, const Row&) { return 1.0F; }

  /// Warp w writes the bytes whose lower 4 bits are w or w + 8: loads that wait for nothing.
  template <int kStride>
  __device__ static void write_tables(const SkinnyFrozenTensors& t, const SkinnyTables& tables) {
    static_assert(kSkinnyFrozenWarps == 8);
    const int thread = static_cast<int>(threadIdx.x), lane = thread % 32, warp = thread / 32;
    const float part = __ldg(t.tree_256 + thread);
    const float second[2] = {__ldg(t.values_16 + warp), __ldg(t.values_16 + warp + 8)};
    const auto* offsets = thread < kSkinnyFrozenMaxMatrices
                              ? field_of(t, thread, [](const auto& m) { return m.offset; })
                              : nullptr;
    const float offset = offsets != nullptr ? __ldg(offsets) : 0.0F;
    float first[16];
#pragma unroll
    for (int high = 0; high < 16; ++high) first[high] = __ldg(t.values_16 + high);
    unsigned* to = tables.pairs + kStride * warp + lane;
#pragma unroll
    for (int high = 0; high < 16; ++high) {
#pragma unroll
      for (int i = 0; i < 2; ++i)
        to[kStride * (16 * high + 8 * i)] = half2_bits(first[high], second[i]);
    }
    tables.tree[thread] = part;
    if (thread < kSkinnyFrozenMaxMatrices) tables.offsets[thread] = offset;
  }
};

struct Nf4Form : Nf4Common {
  static constexpr int kTableStride = 32;
  static constexpr int kTableBytes = kNf4Pairs * (kTableStride + 1) * 4 + kNf4Offsets;

  struct Batch {
    uint2 codes[2][kSteps];
    Nf4ScaleParts scales;

    __device__ unsigned any_code() const { return codes[0][0].x; }
    __device__ void load(const Rows& rows, int first, int steps) {
      const int t4 = static_cast<int>(threadIdx.x) % 4;
#pragma unroll
      for (int r = 0; r < 2; ++r) {
        const auto* from = rows.codes[r] + first * (kSkinnyStep / 2) + 8 * t4;
#pragma unroll
        for (int i = 0; i < kSteps; ++i) {
          codes[r][i] =
              first + i < steps
                  ? load_once(reinterpret_cast<const uint2*>(from + i * (kSkinnyStep / 2)))
                  : make_uint2(0, 0);
        }
      }
      scales.load(rows, first, first + t4 < steps);
    }
  };

  class Sums {
   public:
    __device__ void enter(const SkinnyTables& tables, const SkinnyTiles& tiles, int tile) {
      offsets_.enter(tables, tiles, tile);
    }
    __device__ void add(const Batch& batch, const SkinnyFrozenShape& shape, const SkinnyX& x_rows,
                        const SkinnyTables& tables, int first, int steps) {
      const float own[2] = {offsets_.scale(batch.scales, 0, tables),
                            offsets_.scale(batch.scales, 1, tables)};
      for_steps<kSteps>(first, steps, [&](int i) {
        unsigned x[8];
        load_x(x_rows, shape, first + i, x);
        const float of_step[2] = {__shfl_sync(0xffffffffU, own[0], i, 4),
                                  __shfl_sync(0xffffffffU, own[1], i, 4)};
        add_nf4(sum_, batch.codes[0][i], batch.codes[1][i], x, tables, of_step);
      });
    }
    __device__ void take(float (&sum)[4]) { move_sums(sum, sum_); }

   private:
    Nf4Offsets offsets_;
    float sum_[4] = {0.0F, 0.0F, 0.0F, 0.0F};
  };

  __device__ static void make_tables(const SkinnyFrozenTensors& t, const SkinnyTables& tables) {
    write_tables<kTableStride>(t, tables);
  }
};

}  // namespace lococo
