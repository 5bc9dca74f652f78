// A block computes 16 outputs of all rows at a time, its warps taking turns through the width. The
// codes go from memory into registers, always one batch ahead of the arithmetic, and become
// operands of the tensor cores there: float16, which holds e4m3 exactly and the values of NF4 to 11
// bits. The few rows of x lie in shared memory, normed, as float16 in parts of a power of two of
// their own.
//
// The tensor cores sum over k in any order, so a lane takes codes that lie side by side: with
// g = lane / 4 and t = lane % 4, of each 64 of a row those from 16 t on, of the rows g and g + 8.
#include <cuda_runtime.h>

#include <algorithm>

#include "tensor/kit/dependent_launch.cuh"
#include "tensor/layers/skinny_frozen_few.cuh"
#include "tensor/layers/skinny_frozen_forms.cuh"
#include "tensor/layers/skinny_frozen_fp8.cuh"
#include "tensor/layers/skinny_frozen_kernel.h"
#include "tensor/layers/skinny_frozen_nf4.cuh"
#include "tensor/layers/skinny_frozen_sums.cuh"
#include "tensor/layers/skinny_frozen_tiles.cuh"
#include "tensor/layers/skinny_frozen_walk.cuh"
#include "tensor/layers/skinny_frozen_x.cuh"

namespace lococo {
namespace {

constexpr int kWarps = kSkinnyFrozenWarps;
constexpr int kThreads = 32 * kWarps;
constexpr int kBlocksPerProcessor = 2;
constexpr int64_t kFixedBytes = 1024 + 128;  // of a block's shared memory, beside bytes_of()

/// Two batches in registers in turn.
template <typename Form>
class InRegisters {
 public:
  using Batch = typename Form::Batch;

  __device__ InRegisters(SkinnyLoads<Form>& loads, const SkinnyFrozenShape& shape)
      : loads_(loads), never_(static_cast<unsigned>(shape.rows) >> 16) {}

  __device__ void begin() { load(even_); }
  __device__ void add_all(SkinnyAdds<Form>& adds) {
    while (!adds.done()) {
      load_behind(even_, odd_, adds);
      adds.add(even_);
      if (adds.done()) break;
      load_behind(odd_, even_, adds);
      adds.add(odd_);
    }
  }

 private:
  __device__ void load(Batch& batch) {
    loads_.next([&](const auto& rows, int first, int steps) { batch.load(rows, first, steps); });
  }
  /// A warp knows of loads on their way only that none is left, so those of the next batch begin
  /// when `now` has arrived as a whole: adding it would wait for both otherwise. What decides
  /// whether there is a next batch therefore depends on what has come, in nothing that counts.
  __device__ void load_behind(const Batch& now, Batch& next, const SkinnyAdds<Form>& adds) {
    loads_.wait_for((now.any_code() | adds.any_scale()) & never_);
    load(next);
  }

  SkinnyLoads<Form>& loads_;
  unsigned never_;  ///< 0, which the compiler cannot know
  Batch even_, odd_;
};

template <typename Form>
__global__ void __launch_bounds__(kThreads, kBlocksPerProcessor)
    skinny_frozen_kernel(const __grid_constant__ SkinnyFrozenTensors t,
                         const __grid_constant__ SkinnyFrozenShape shape, int tile_count) {
  extern __shared__ uint4 memory[];
  __shared__ float x_units[kSkinnyFrozenMaxRows];
  __shared__ RowParts<kWarps> parts;
  auto* const sums = reinterpret_cast<float*>(memory + Form::kTableBytes / 16);
  auto* const x = reinterpret_cast<uint4*>(sums + skinny_sums(kWarps, shape.rows));
  const SkinnyShared shared = {SkinnyTables(memory), sums, {x, shape.width / 8 + 1}, x_units};

  const SkinnyTiles tiles(t, shape);
  const Walk<Form> walk(shape, tile_count);
  SkinnyLoads<Form> loads(t, tiles, walk);
  InRegisters<Form> batches(loads, shape);
  let_next_kernel_start();
  Form::make_tables(t, shared.tables);  // with loads of its own: codes would hold it up
  batches.begin();
  const OneRow<kThreads> one_row(t, shape);
  wait_for_earlier_kernels();  // x and the residual come from them, the codes do not
  if (one_row.takes()) {       // the barriers of either show the tables too
    one_row.stage(t, shape, shared.x, parts, x_units);
  } else {
    stage_rows<kThreads>(t, shape, shared.x, parts, x_units);
  }
  SkinnyAdds<Form> adds(t, shape, tiles, walk, shared);
  batches.add_all(adds);
}

template <typename Form>
int64_t bytes_of(int64_t rows, int64_t width) {
  const int64_t x = rows * (width / 8 + 1) * 16;
  const int64_t sums = 4 * skinny_sums(kWarps, static_cast<int>(rows));
  return x + sums + Form::kTableBytes;
}

template <typename Form>
void launch(const SkinnyFrozenTensors& t, const SkinnyFrozenShape& shape, CUstream_st* stream) {
  const int tiles = tiles_of(t, shape);
  const auto blocks =
      static_cast<unsigned>(std::min(tiles, kBlocksPerProcessor * shape.processors));
  const auto bytes = bytes_of<Form>(shape.rows, shape.width);
  const auto kernel = skinny_frozen_kernel<Form>;
  cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                       static_cast<int>(bytes));
  launch_dependent(kernel, dim3(blocks), kThreads, static_cast<size_t>(bytes), stream,
                   shape.overlap, t, shape, tiles);
}

/// The same where two blocks fit into a processor that has what the largest block may have.
template <typename Form>
bool launch_twice(const SkinnyFrozenTensors& t, const SkinnyFrozenShape& shape,
                  CUstream_st* stream) {
  const int64_t bytes = bytes_of<Form>(shape.rows, shape.width) + kFixedBytes;
  if (kBlocksPerProcessor * bytes > shape.shared_bytes) return false;
  launch<Form>(t, shape, stream);
  return true;
}

void launch_nf4(const SkinnyFrozenTensors& t, const SkinnyFrozenShape& shape, CUstream_st* stream) {
  if (shape.rows <= kNf4FewRows && launch_twice<Nf4FewForm>(t, shape, stream)) return;
  launch<Nf4Form>(t, shape, stream);
}

}  // namespace

int64_t skinny_frozen_bytes(SkinnyForm form, int64_t rows, int64_t width) {
  return form == SkinnyForm::kNf4 ? bytes_of<Nf4Form>(rows, width) : bytes_of<Fp8Form>(rows, width);
}

void launch_skinny_frozen(const SkinnyFrozenTensors& tensors, const SkinnyFrozenShape& shape,
                          CUstream_st* stream) {
  if (shape.form == SkinnyForm::kNf4) {
    launch_nf4(tensors, shape, stream);
  } else {
    launch<Fp8Form>(tensors, shape, stream);
  }
}

}  // namespace lococo
