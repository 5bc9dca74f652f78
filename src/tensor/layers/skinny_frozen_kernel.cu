// A block computes 16 outputs of all rows at a time, its warps taking turns through the width. The
// codes go from memory into registers, always one batch ahead of the arithmetic, and become
// operands of the tensor cores there: float16, which holds e4m3 exactly and the values of NF4 to 11
// bits. The few rows of x lie in shared memory, normed, as float16 in parts of a power of two of
// their own.
//
// The tensor cores sum over k in any order, so a lane takes the codes that lie side by side: with
// g = lane / 4 and t = lane % 4, of each 64 of a row those from 16 t on, of the rows g and g + 8.
#include <cuda_runtime.h>

#include <algorithm>

#include "tensor/kit/dependent_launch.cuh"
#include "tensor/layers/skinny_frozen_forms.cuh"
#include "tensor/layers/skinny_frozen_kernel.h"
#include "tensor/layers/skinny_frozen_tiles.cuh"
#include "tensor/layers/skinny_frozen_x.cuh"

namespace lococo {
namespace {

constexpr int kWarps = kSkinnyFrozenWarps;
constexpr int kThreads = 32 * kWarps;
constexpr int kBlocksPerProcessor = 2;

/// The turns that a warp takes, two places in them: the codes that come from memory next, and those
/// that are added next.
template <typename Form>
class Walk {
 public:
  __device__ Walk(const SkinnyTiles& tiles, const SkinnyFrozenShape& shape, int tile_count)
      : tiles_(tiles),
        tile_count_(tile_count),
        steps_(shape.width / kSkinnyStep),
        turns_((steps_ + Form::kSteps * kWarps - 1) / (Form::kSteps * kWarps)) {}

  __device__ Place first() const {
    Place place = {static_cast<int>(blockIdx.x), 0, {}};
    set_rows(place);
    return place;
  }
  __device__ void advance(Place& place) const {
    if (++place.turn < turns_) return;
    place.turn = 0;
    place.tile += static_cast<int>(gridDim.x);
    set_rows(place);
  }
  __device__ bool done(const Place& place) const { return place.tile >= tile_count_; }
  __device__ bool ends_tile(const Place& place) const { return place.turn + 1 == turns_; }
  __device__ int steps() const { return steps_; }
  __device__ int first_step(const Place& place) const {
    return (place.turn * kWarps + static_cast<int>(threadIdx.x) / 32) * Form::kSteps;
  }

 private:
  __device__ void set_rows(Place& place) const {
    if (done(place)) return;
    const int g = static_cast<int>(threadIdx.x) % 32 / 4;
    place.rows[0] = tiles_.row(place.tile, g);
    place.rows[1] = tiles_.row(place.tile, g + 8);
  }

  const SkinnyTiles& tiles_;
  int tile_count_, steps_, turns_;
};

/// `sum` += a batch that begins at step `first`. Without branches between them, unless it is the
/// last of a row, steps overlap.
template <typename Form>
__device__ void add_batch(float (&sum)[4], const typename Form::Batch& batch,
                          const SkinnyFrozenShape& shape, const SkinnyX& x_rows,
                          const SkinnyTables& tables, int first, int steps) {
  const auto scales = Form::scales(batch, tables);
  const auto add = [&](int i) {
    unsigned x[8];
    load_x(x_rows, shape, first + i, x);
    Form::add(sum, batch, scales, i, x, tables);
  };
  if (first + Form::kSteps <= steps) {
#pragma unroll
    for (int i = 0; i < Form::kSteps; ++i) add(i);
  } else {
#pragma unroll
    for (int i = 0; i < Form::kSteps; ++i)
      if (first + i < steps) add(i);  // for the whole warp
  }
}

template <typename Form>
__global__ void __launch_bounds__(kThreads, kBlocksPerProcessor)
    skinny_frozen_kernel(const __grid_constant__ SkinnyFrozenTensors t,
                         const __grid_constant__ SkinnyFrozenShape shape, int tile_count) {
  extern __shared__ uint4 memory[];
  __shared__ float x_scales[kSkinnyFrozenMaxRows];
  __shared__ RowParts<kWarps> parts;
  SkinnyTables tables;
  tables.pairs = reinterpret_cast<unsigned*>(memory);
  tables.tree = reinterpret_cast<float*>(tables.pairs + kNf4Pairs * 32);
  auto* sums = reinterpret_cast<float*>(memory + Form::kTableBytes / 16);
  const int half_sums = skinny_sums(kWarps, shape.rows) / 2;
  const SkinnyX x_rows = {reinterpret_cast<uint4*>(sums + 2 * half_sums), shape.width / 8 + 1};

  const SkinnyTiles tiles(t, shape);
  const Walk<Form> walk(tiles, shape, tile_count);
  Place loading = walk.first(), adding = loading;
  typename Form::Batch even, odd;
  auto load_next = [&](typename Form::Batch& batch) {
    if (!walk.done(loading)) batch.load(t, loading, walk.first_step(loading), walk.steps());
    walk.advance(loading);
  };
  let_next_kernel_start();
  load_next(even);
  const OneRow<kThreads> one_row(t, shape);
  Form::make_tables(t, tables);
  wait_for_earlier_kernels();  // x and the residual come from them, the codes do not
  if (one_row.takes()) {       // the barriers of either show the tables too
    one_row.stage(t, shape, x_rows, parts, x_scales);
  } else {
    stage_rows<kThreads>(t, shape, x_rows, parts, x_scales);
  }

  float sum[4] = {0.0F, 0.0F, 0.0F, 0.0F};
  SkinnyOutput<Form> output;
  int parity = 0;
  auto add = [&](const typename Form::Batch& batch) {
    if (adding.turn == 0) output = SkinnyOutput<Form>(t, shape, tiles, adding.tile);
    add_batch<Form>(sum, batch, shape, x_rows, tables, walk.first_step(adding), walk.steps());
    if (walk.ends_tile(adding)) {
      float* const all = sums + parity * half_sums;
      const int warp = static_cast<int>(threadIdx.x) / 32;
      write_sums(all + warp * kSkinnyTile * shape.rows, shape.rows, sum);
      __syncthreads();
      // The other half is free again when all have come to the next tile's barrier.
      output.template write<kWarps>(t, shape, all, x_scales);
      parity ^= 1;
      sum[0] = sum[1] = sum[2] = sum[3] = 0.0F;
    }
    walk.advance(adding);
  };
  while (!walk.done(adding)) {
    load_next(odd);
    add(even);
    if (walk.done(adding)) break;
    load_next(even);
    add(odd);
  }
}

template <typename Form>
void launch(const SkinnyFrozenTensors& t, const SkinnyFrozenShape& shape, CUstream_st* stream) {
  const int tiles = tiles_of(t, shape);
  // As many rounds as the resident blocks need, and no more blocks than share the rounds evenly.
  const int resident = kBlocksPerProcessor * shape.processors;
  const int rounds = (tiles + resident - 1) / resident;
  const auto blocks = static_cast<unsigned>((tiles + rounds - 1) / rounds);
  const auto bytes = static_cast<size_t>(skinny_frozen_bytes(shape.form, shape.rows, shape.width));
  cudaFuncSetAttribute(skinny_frozen_kernel<Form>, cudaFuncAttributeMaxDynamicSharedMemorySize,
                       static_cast<int>(bytes));
  launch_dependent(skinny_frozen_kernel<Form>, dim3(blocks), kThreads, bytes, stream, shape.overlap,
                   t, shape, tiles);
}

}  // namespace

int64_t skinny_frozen_bytes(SkinnyForm form, int64_t rows, int64_t width) {
  const int64_t x = rows * (width / 8 + 1) * 16;
  const int64_t sums = 4 * skinny_sums(kWarps, static_cast<int>(rows));
  return x + sums + (form == SkinnyForm::kNf4 ? kNf4Pairs * (32 + 1) * 4 : 0);
}

void launch_skinny_frozen(const SkinnyFrozenTensors& tensors, const SkinnyFrozenShape& shape,
                          CUstream_st* stream) {
  if (shape.form == SkinnyForm::kNf4) {
    launch<Nf4Form>(tensors, shape, stream);
  } else {
    launch<Fp8Form>(tensors, shape, stream);
  }
}

}  // namespace lococo
