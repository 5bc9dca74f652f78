// FP8 in skinny_frozen_kernel.cu.
#pragma once

#include <cuda_fp8.h>
#include <cuda_runtime.h>

#include "tensor/kit/tensor_core.cuh"
#include "tensor/layers/skinny_frozen_forms.cuh"
#include "tensor/layers/skinny_frozen_kernel.h"
#include "tensor/layers/skinny_frozen_tiles.cuh"
#include "tensor/layers/skinny_frozen_x.cuh"

namespace lococo {

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

struct Fp8Rows {
  const uint8_t* codes[2];

  Fp8Rows() = default;
  __device__ Fp8Rows(const SkinnyFrozenTensors& t, const SkinnyTiles& tiles, int tile, int steps) {
    const int lane = static_cast<int>(threadIdx.x) % 32;
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      const Row row = tiles.row(tile, lane / 4 + 8 * r);
      codes[r] = field_of(t, row.matrix, [](const auto& m) { return m.codes; }) +
                 static_cast<int64_t>(row.row) * steps * kSkinnyStep + 16 * (lane % 4);
    }
  }
};

struct Fp8Form {
  static constexpr int kSteps = 2;  // of 64 values in a batch
  static constexpr int kTableBytes = 0;
  using Rows = Fp8Rows;

  struct Batch {
    uint4 codes[2][kSteps];

    __device__ unsigned any_code() const { return codes[0][0].x; }
    __device__ void load(const Rows& rows, int first, int steps) {
#pragma unroll
      for (int r = 0; r < 2; ++r) {
        const auto* from = rows.codes[r] + first * kSkinnyStep;
#pragma unroll
        for (int i = 0; i < kSteps; ++i) {
          codes[r][i] = first + i < steps
                            ? load_once(reinterpret_cast<const uint4*>(from + i * kSkinnyStep))
                            : make_uint4(0, 0, 0, 0);
        }
      }
    }
  };

  class Sums {
   public:
    __device__ void enter(const SkinnyTables&, const SkinnyTiles&, int) {}
    __device__ void add(const Batch& batch, const SkinnyFrozenShape& shape, const SkinnyX& x_rows,
                        const SkinnyTables&, int first, int steps) {
      for_steps<kSteps>(first, steps, [&](int i) {
        unsigned x[8];
        load_x(x_rows, shape, first + i, x);
        add_fp8(sum_, batch.codes[0][i], batch.codes[1][i], x);
      });
    }
    __device__ void take(float (&sum)[4]) { move_sums(sum, sum_); }

   private:
    float sum_[4] = {0.0F, 0.0F, 0.0F, 0.0F};
  };

  /// What a row's sum is multiplied with.
  __device__ static float row_scale(const SkinnyFrozenTensors& t, const Row& row) {
    return field_of(t, row.matrix, [](const auto& m) { return m.row_scales; })[row.row];
  }

  __device__ static void make_tables(const SkinnyFrozenTensors&, const SkinnyTables&) {}
};

}  // namespace lococo
