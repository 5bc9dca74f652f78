// How the warps of a block bring their sums of a tile together and its outputs are written.
#pragma once

#include <cuda_bf16.h>
#include <cuda_runtime.h>

#include "tensor/layers/skinny_frozen_kernel.h"
#include "tensor/layers/skinny_frozen_tiles.cuh"

namespace lococo {

/// Floats of shared memory for write_sums(): two halves in turn, each [warps, 16, M].
__host__ __device__ inline int skinny_sums(int warps, int rows) {
  return 2 * warps * kSkinnyTile * rows;
}

/// A warp's sums, as multiply_add_half() has them, into its part [16, M] of `sums`.
__device__ inline void write_sums(float* sums, int rows, const float (&sum)[4]) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const int m = 2 * (lane % 4) + i % 2;
    if (m < rows) sums[(lane / 4 + 8 * (i / 2)) * rows + m] = sum[i];
  }
}

/// The result of a tile that a thread writes, if any. What that needs beside the sums comes from
/// memory when the tile begins, so that nothing waits for it at the end.
template <typename Form>
class SkinnyOutput {
 public:
  SkinnyOutput() = default;
  __device__ SkinnyOutput(const SkinnyFrozenTensors& t, const SkinnyFrozenShape& shape,
                          const SkinnyTiles& tiles, int tile) {
    const int thread = static_cast<int>(threadIdx.x);
    if (thread >= (shape.swiglu ? kSkinnyTile / 2 : kSkinnyTile) * shape.rows) return;
    const int place = thread / shape.rows, m = thread % shape.rows;
    const Row row = tiles.row(tile, place);
    is_real_ = row.is_real;
    if (!is_real_) return;
    at_ = static_cast<int64_t>(m) * tiles.columns() + row.column;
    scale_ = Form::row_scale(t, row);
    if (shape.swiglu) up_scale_ = Form::row_scale(t, tiles.row(tile, place + kSkinnyTile / 2));
    if (t.residual != nullptr)
      residual_ = __bfloat162float(static_cast<const __nv_bfloat16*>(t.residual)[at_]);
  }

  /// Bits of what comes from memory.
  __device__ unsigned any_scale() const {
    return __float_as_uint(scale_) | __float_as_uint(up_scale_);
  }

  /// `sums` [kWarps, 16, M] of all warps.
  template <int kWarps>
  __device__ void write(const SkinnyFrozenTensors& t, const SkinnyFrozenShape& shape,
                        const float* sums, const float* x_units) const {
    if (!is_real_) return;
    const int thread = static_cast<int>(threadIdx.x);
    const float unit = x_units[thread % shape.rows];
    const auto total = [&](int at) {
      float sum = 0.0F;
#pragma unroll
      for (int warp = 0; warp < kWarps; ++warp) sum += sums[warp * kSkinnyTile * shape.rows + at];
      return sum * unit;
    };
    float value = total(thread) * scale_;
    if (shape.swiglu) {
      const float up = total(thread + kSkinnyTile / 2 * shape.rows) * up_scale_;
      value = value / (1.0F + __expf(-value)) * up;
    }
    static_cast<__nv_bfloat16*>(t.out)[at_] = __float2bfloat16_rn(value + residual_);
  }

 private:
  bool is_real_ = false;
  int64_t at_ = 0;
  float scale_ = 1.0F, up_scale_ = 1.0F, residual_ = 0.0F;
};

}  // namespace lococo
