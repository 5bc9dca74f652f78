// How the warps of a block of skinny_frozen_kernel.cu go through its tiles: the batches that they
// load, and those that they add.
#pragma once

#include <cuda_runtime.h>

#include "tensor/layers/skinny_frozen_forms.cuh"
#include "tensor/layers/skinny_frozen_kernel.h"
#include "tensor/layers/skinny_frozen_sums.cuh"
#include "tensor/layers/skinny_frozen_tiles.cuh"
#include "tensor/layers/skinny_frozen_x.cuh"

namespace lococo {

/// A place in a warp's work: a tile and the turn in its rows that is next. All warps of a block
/// make as many turns for a tile, the last ones perhaps with nothing.
struct Place {
  int tile, turn;
};

template <typename Form>
class Walk {
 public:
  __device__ Walk(const SkinnyFrozenShape& shape, int tile_count)
      : tile_count_(tile_count),
        steps_(shape.width / kSkinnyStep),
        turns_((steps_ + kTurn - 1) / kTurn) {}

  __device__ Place first() const { return {static_cast<int>(blockIdx.x), 0}; }
  __device__ void advance(Place& place) const {
    if (++place.turn < turns_) return;
    place.turn = 0;
    place.tile += static_cast<int>(gridDim.x);
  }
  __device__ bool done(const Place& place) const { return place.tile >= tile_count_; }
  __device__ bool ends_tile(const Place& place) const { return place.turn + 1 == turns_; }
  __device__ int steps() const { return steps_; }
  __device__ int first_step(const Place& place) const {
    return place.turn * kTurn + static_cast<int>(threadIdx.x) / 32 * Form::kSteps;
  }

 private:
  static constexpr int kTurn = Form::kSteps * kSkinnyFrozenWarps;  // steps of all warps

  int tile_count_, steps_, turns_;
};

/// The batches of a warp in the order in which they are loaded.
template <typename Form>
class SkinnyLoads {
 public:
  __device__ SkinnyLoads(const SkinnyFrozenTensors& t, const SkinnyTiles& tiles,
                         const Walk<Form>& walk)
      : t_(t), tiles_(tiles), walk_(walk), place_(walk.first()) {}

  /// load(rows, first step, steps of a row) for the next batch, if there is one.
  template <typename Load>
  __device__ void next(Load load) {
    if (walk_.done(place_)) return;
    if (place_.turn == 0) rows_ = typename Form::Rows(t_, tiles_, place_.tile, walk_.steps());
    load(rows_, walk_.first_step(place_), walk_.steps());
    walk_.advance(place_);
  }

  /// What next() does begins only when `zero` is known, which is 0.
  __device__ void wait_for(unsigned zero) { place_.tile += static_cast<int>(zero); }

 private:
  const SkinnyFrozenTensors& t_;
  const SkinnyTiles& tiles_;
  const Walk<Form>& walk_;
  Place place_;
  typename Form::Rows rows_;
};

/// What the warps of a block share: tables, x and two halves of sums in turn.
struct SkinnyShared {
  SkinnyTables tables;
  float* sums;
  SkinnyX x;
  const float* x_units;
};

/// The tiles of a block, to whose sums its warps add the batches in the same order.
template <typename Form>
class SkinnyAdds {
 public:
  __device__ SkinnyAdds(const SkinnyFrozenTensors& t, const SkinnyFrozenShape& shape,
                        const SkinnyTiles& tiles, const Walk<Form>& walk,
                        const SkinnyShared& shared)
      : t_(t), shape_(shape), tiles_(tiles), walk_(walk), shared_(shared), place_(walk.first()) {}

  __device__ bool done() const { return walk_.done(place_); }

  __device__ void add(const typename Form::Batch& batch) {
    if (place_.turn == 0) {
      output_ = SkinnyOutput<Form>(t_, shape_, tiles_, place_.tile);
      sums_.enter(shared_.tables, tiles_, place_.tile);
    }
    sums_.add(batch, shape_, shared_.x, shared_.tables, walk_.first_step(place_), walk_.steps());
    if (walk_.ends_tile(place_)) end_tile();
    walk_.advance(place_);
  }

  /// Bits of what add() has loaded for the end of a tile.
  __device__ unsigned any_scale() const { return output_.any_scale(); }

 private:
  __device__ void end_tile() {
    const int half = skinny_sums(kSkinnyFrozenWarps, shape_.rows) / 2;
    float* const all = shared_.sums + parity_ * half;
    const int warp = static_cast<int>(threadIdx.x) / 32;
    float sum[4];
    sums_.take(sum);
    write_sums(all + warp * kSkinnyTile * shape_.rows, shape_.rows, sum);
    __syncthreads();
    // The other half is free again when all have come to the next tile's barrier.
    output_.template write<kSkinnyFrozenWarps>(t_, shape_, all, shared_.x_units);
    parity_ ^= 1;
  }

  const SkinnyFrozenTensors& t_;
  const SkinnyFrozenShape& shape_;
  const SkinnyTiles& tiles_;
  const Walk<Form>& walk_;
  const SkinnyShared& shared_;
  Place place_;
  typename Form::Sums sums_;
  SkinnyOutput<Form> output_;
  int parity_ = 0;
};

}  // namespace lococo
