// NF4 in skinny_frozen_kernel.cu for so few rows of x that the 8 columns of the tensor cores'
// products have room for several steps: each step has columns of its own, and what its codes make
// in those of the others is never looked at. So a lane loads x of one step only, and the sums of
// steps, which are multiplied with a scale each, stay apart by themselves.
#pragma once

#include <cuda_runtime.h>

#include "tensor/kit/tensor_core.cuh"
#include "tensor/layers/skinny_frozen_nf4.cuh"

namespace lococo {

constexpr int kNf4FewRows = 2;

/// 2 rows: column 2 q + m is row m of step q, and in the sums lane t has step t. Two lanes share a
/// step's codes, lanes 2 (q % 2) and the next in load q / 2, so that the four load whole 64 bytes.
struct Nf4FewForm : Nf4Common {
  // A byte becomes the second of an address, in one instruction: rows of the table are 256 bytes.
  static constexpr int kTableStride = 64;
  static constexpr int kTableBytes = kNf4Pairs * (kTableStride + 1) * 4 + kNf4Offsets;
  static constexpr int kLoads = kSteps / 2;

  struct Batch {
    uint4 codes[2][kLoads];
    Nf4ScaleParts scales;

    __device__ unsigned any_code() const { return codes[0][0].x; }
    __device__ void load(const Rows& rows, int first, int steps) {
      const int t4 = static_cast<int>(threadIdx.x) % 4;
#pragma unroll
      for (int r = 0; r < 2; ++r) {
        const auto* from = rows.codes[r] + first * (kSkinnyStep / 2) + 16 * t4;
#pragma unroll
        for (int i = 0; i < kLoads; ++i) {
          codes[r][i] = first + 2 * i + t4 / 2 < steps
                            ? load_once(reinterpret_cast<const uint4*>(from + i * kSkinnyStep))
                            : make_uint4(0, 0, 0, 0);
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
      uint4 x[4];
      load_half_step(x_rows, shape, first, steps, x);
      float part[kLoads][4] = {};
#pragma unroll
      for (int i = 0; i < kLoads; ++i)
        add_load(part[i], batch.codes[0][i], batch.codes[1][i], x, tables);
      const float scales[2] = {offsets_.scale(batch.scales, 0, tables),
                               offsets_.scale(batch.scales, 1, tables)};
      const bool first_load = threadIdx.x % 4 < 2;
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        sum_[i] += scales[i / 2] * (first_load ? part[0][i] : part[1][i]);
      }
    }

    __device__ void take(float (&sum)[4]) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        float all = sum_[i] + __shfl_xor_sync(0xffffffffU, sum_[i], 1);
        all += __shfl_xor_sync(0xffffffffU, all, 2);
        sum[i] = all;
        sum_[i] = 0.0F;
      }
    }

   private:
    /// The 32 elements that a lane gives to its column: of step q those of the two lanes that have
    /// its codes, zeros of the others.
    __device__ static void load_half_step(const SkinnyX& x_rows, const SkinnyFrozenShape& shape,
                                          int first, int steps, uint4 (&x)[4]) {
      const int lane = static_cast<int>(threadIdx.x) % 32, t4 = lane % 4;
      const int q = lane / 8, m = lane / 4 % kNf4FewRows;
      const bool is_there = m < shape.rows && q % 2 == t4 / 2 && first + q < steps;
      const uint4* from =
          x_rows.x + m * x_rows.stride + (first + q) * (kSkinnyStep / 8) + 4 * (t4 % 2);
#pragma unroll
      for (int i = 0; i < 4; ++i) x[i] = is_there ? from[i] : make_uint4(0, 0, 0, 0);
    }

    __device__ static void add_load(float (&part)[4], uint4 low, uint4 high, const uint4 (&x)[4],
                                    const SkinnyTables& tables) {
      const unsigned lows[4] = {low.x, low.y, low.z, low.w};
      const unsigned highs[4] = {high.x, high.y, high.z, high.w};
#pragma unroll
      for (int k = 0; k < 4; ++k) {
        unsigned a[4], b[4];
        look_up(tables, lows[k], a);
        look_up(tables, highs[k], b);
        const unsigned first[4] = {a[0], b[0], a[1], b[1]}, second[4] = {a[2], b[2], a[3], b[3]};
        multiply_add_half(part, first, x[k].x, x[k].y);
        multiply_add_half(part, second, x[k].z, x[k].w);
      }
    }

    /// Four bytes as pairs of float16.
    __device__ static void look_up(const SkinnyTables& tables, unsigned codes,
                                   unsigned (&pairs)[4]) {
      const unsigned lane = threadIdx.x % 32 * 4;
#pragma unroll
      for (unsigned i = 0; i < 4; ++i) {
        const unsigned at = __byte_perm(codes, lane, 0x5504U | i << 4);
        pairs[i] =
            *reinterpret_cast<const unsigned*>(reinterpret_cast<const char*>(tables.pairs) + at);
      }
    }

    Nf4Offsets offsets_;
    float sum_[4] = {0.0F, 0.0F, 0.0F, 0.0F};
  };

  __device__ static void make_tables(const SkinnyFrozenTensors& t, const SkinnyTables& tables) {
    write_tables<kTableStride>(t, tables);
  }
};

}  // namespace lococo
