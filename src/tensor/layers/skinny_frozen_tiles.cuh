// What a block of the kernels of few rows computes at a time, 16 outputs of all rows, and how it
// writes them.
#pragma once

#include <cuda_bf16.h>
#include <cuda_runtime.h>

#include "tensor/layers/skinny_frozen_kernel.h"

namespace lococo {

constexpr int kSkinnyTile = 16;  // outputs of a block at a time
constexpr int kSkinnyStep = static_cast<int>(kSkinnyFrozenWidthStep);

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

/// Which rows are the 16 of a tile: of one matrix; for SwiGLU 8 of gate and the same 8 of up.
class SkinnyTiles {
 public:
  __device__ SkinnyTiles(const SkinnyFrozenTensors& tensors, const SkinnyFrozenShape& shape)
      : swiglu_(shape.swiglu) {
#pragma unroll
    for (int i = 0; i < kSkinnyFrozenMaxMatrices; ++i) outputs_[i] = tensors.matrices[i].outputs;
  }

  __device__ Row row(int tile, int place) const {
    if (swiglu_) {
      const int row = tile * (kSkinnyTile / 2) + place % (kSkinnyTile / 2);
      return {place / (kSkinnyTile / 2), min(row, outputs_[0] - 1), row, row < outputs_[0]};
    }
    int matrix = 0, column = 0, outputs = outputs_[0];
#pragma unroll
    for (int next = 1; next < kSkinnyFrozenMaxMatrices; ++next) {
      const int tiles = (outputs + kSkinnyTile - 1) / kSkinnyTile;
      if (matrix + 1 == next && tile >= tiles && outputs_[next] > 0) {
        tile -= tiles;
        column += outputs;
        outputs = outputs_[next];
        matrix = next;
      }
    }
    const int row = tile * kSkinnyTile + place;
    return {matrix, min(row, outputs - 1), column + row, row < outputs};
  }

  __device__ int columns() const {
    return swiglu_ ? outputs_[0] : outputs_[0] + outputs_[1] + outputs_[2];
  }

 private:
  int outputs_[kSkinnyFrozenMaxMatrices];
  bool swiglu_;
};

inline int tiles_of(const SkinnyFrozenTensors& tensors, const SkinnyFrozenShape& shape) {
  constexpr int kHalf = kSkinnyTile / 2;
  if (shape.swiglu) return (tensors.matrices[0].outputs + kHalf - 1) / kHalf;
  int tiles = 0;
  for (const auto& matrix : tensors.matrices)
    tiles += (matrix.outputs + kSkinnyTile - 1) / kSkinnyTile;
  return tiles;
}

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
    const int place = static_cast<int>(threadIdx.x) / shape.rows;
    const int m = static_cast<int>(threadIdx.x) % shape.rows;
    if (place >= (shape.swiglu ? kSkinnyTile / 2 : kSkinnyTile)) return;
    const Row row = tiles.row(tile, place);
    is_real_ = row.is_real;
    if (!is_real_) return;
    at_ = static_cast<int64_t>(m) * tiles.columns() + row.column;
    scale_ = Form::row_scale(t, row);
    if (shape.swiglu) up_scale_ = Form::row_scale(t, tiles.row(tile, place + kSkinnyTile / 2));
    if (t.residual != nullptr)
      residual_ = __bfloat162float(static_cast<const __nv_bfloat16*>(t.residual)[at_]);
  }

  /// `sums` [kWarps, 16, M] of all warps.
  template <int kWarps>
  __device__ void write(const SkinnyFrozenTensors& t, const SkinnyFrozenShape& shape,
                        const float* sums, const float* x_scales) const {
    if (!is_real_) return;
    const int thread = static_cast<int>(threadIdx.x);
    const float x_scale = x_scales[thread % shape.rows];
    const auto total = [&](int at) {
      float sum = 0.0F;
#pragma unroll
      for (int warp = 0; warp < kWarps; ++warp) sum += sums[warp * kSkinnyTile * shape.rows + at];
      return sum / x_scale;  // a power of two
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
