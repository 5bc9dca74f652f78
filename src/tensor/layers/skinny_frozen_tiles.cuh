// What a block of the kernels of few rows computes at a time: 16 outputs of all rows.
#pragma once

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

/// Which rows are the 16 of a tile: of one matrix; for SwiGLU 8 of gate and the same 8 of up. A
/// tile begins after few products only, so nothing here branches.
class SkinnyTiles {
 public:
  __device__ SkinnyTiles(const SkinnyFrozenTensors& tensors, const SkinnyFrozenShape& shape)
      : swiglu_(shape.swiglu) {
#pragma unroll
    for (int i = 0; i < kSkinnyFrozenMaxMatrices; ++i) outputs_[i] = tensors.matrices[i].outputs;
    second_ = (outputs_[0] + kSkinnyTile - 1) / kSkinnyTile;
    third_ = second_ + (outputs_[1] + kSkinnyTile - 1) / kSkinnyTile;
  }

  __device__ int matrix(int tile, int place) const {
    if (swiglu_) return place / (kSkinnyTile / 2);
    return static_cast<int>(tile >= second_) + static_cast<int>(tile >= third_);
  }

  __device__ Row row(int tile, int place) const {
    const int in = matrix(tile, place);
    const int begin = swiglu_ ? 0 : in == 0 ? 0 : in == 1 ? second_ : third_;
    const int before = swiglu_ ? 0 : (in > 0 ? outputs_[0] : 0) + (in > 1 ? outputs_[1] : 0);
    const int outputs = in == 0 ? outputs_[0] : in == 1 ? outputs_[1] : outputs_[2];
    const int size = swiglu_ ? kSkinnyTile / 2 : kSkinnyTile;
    const int row = (tile - begin) * size + place % size;
    return {in, min(row, outputs - 1), before + row, row < outputs};
  }

  __device__ int columns() const {
    return swiglu_ ? outputs_[0] : outputs_[0] + outputs_[1] + outputs_[2];
  }

 private:
  int outputs_[kSkinnyFrozenMaxMatrices];
  int second_, third_;  ///< the first tiles of those matrices
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

}  // namespace lococo
