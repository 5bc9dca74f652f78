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
#include "tensor/kit/packed8.cuh"
#include "tensor/kit/reduce.cuh"
#include "tensor/layers/skinny_frozen_forms.cuh"
#include "tensor/layers/skinny_frozen_kernel.h"

namespace lococo {
namespace {

constexpr int kWarps = kSkinnyFrozenWarps;
constexpr int kThreads = 32 * kWarps;
constexpr int kBlocksPerProcessor = 2;
constexpr int kTile = 16;  // outputs of a block at a time

/// Which rows are the 16 of a tile: of one matrix; for SwiGLU 8 of gate and the same 8 of up.
class Tiles {
 public:
  __device__ Tiles(const SkinnyFrozenTensors& tensors, const SkinnyFrozenShape& shape)
      : swiglu_(shape.swiglu) {
#pragma unroll
    for (int i = 0; i < kSkinnyFrozenMaxMatrices; ++i) outputs_[i] = tensors.matrices[i].outputs;
  }

  __device__ Row row(int tile, int place) const {
    if (swiglu_) {
      const int row = tile * (kTile / 2) + place % (kTile / 2);
      return {place / (kTile / 2), min(row, outputs_[0] - 1), row, row < outputs_[0]};
    }
    int matrix = 0, column = 0, outputs = outputs_[0];
#pragma unroll
    for (int next = 1; next < kSkinnyFrozenMaxMatrices; ++next) {
      const int tiles = (outputs + kTile - 1) / kTile;
      if (matrix + 1 == next && tile >= tiles && outputs_[next] > 0) {
        tile -= tiles;
        column += outputs;
        outputs = outputs_[next];
        matrix = next;
      }
    }
    const int row = tile * kTile + place;
    return {matrix, min(row, outputs - 1), column + row, row < outputs};
  }

  __device__ int columns() const {
    return swiglu_ ? outputs_[0] : outputs_[0] + outputs_[1] + outputs_[2];
  }

 private:
  int outputs_[kSkinnyFrozenMaxMatrices];
  bool swiglu_;
};

int tiles_of(const SkinnyFrozenTensors& tensors, const SkinnyFrozenShape& shape) {
  constexpr int kHalf = kTile / 2;
  if (shape.swiglu) return (tensors.matrices[0].outputs + kHalf - 1) / kHalf;
  int tiles = 0;
  for (const auto& matrix : tensors.matrices) tiles += (matrix.outputs + kTile - 1) / kTile;
  return tiles;
}

// --- x

/// A power of two that brings `largest` to 2^14 (float16 ends at 2^16); 1 for zero and what is not
/// finite.
__device__ float half_scale(float largest) {
  const int exponent = static_cast<int>(__float_as_uint(largest) >> 23 & 0xffU) - 127;
  if (largest == 0.0F || exponent == 128) return 1.0F;
  return __uint_as_float(static_cast<unsigned>(min(14 - exponent, 126) + 127) << 23);
}

/// What each warp found in each row.
struct RowParts {
  float squares[kSkinnyFrozenMaxRows][kWarps];
  float largest[kSkinnyFrozenMaxRows][kWarps];
};

template <typename Join>
__device__ float joined(const float (&of_warp)[kWarps], Join join) {
  float value = of_warp[0];
#pragma unroll
  for (int warp = 1; warp < kWarps; ++warp) value = join(value, of_warp[warp]);
  return value;
}

/// x into shared memory, normed and rounded where there is a norm, as float16 times a power of two
/// of each row, which goes to `x_scales`. A thread comes back to the words that it wrote.
__device__ void stage(const SkinnyFrozenTensors& t, const SkinnyFrozenShape& shape,
                      const Shared& shared, RowParts& parts, float* x_scales) {
  const int thread = static_cast<int>(threadIdx.x), words = shape.width / 8;
  const int warp = thread / 32;
  const bool first_lane = thread % 32 == 0;
  for (int m = 0; m < shape.rows; ++m) {
    float squares = 0.0F, largest = 0.0F;
    for (int word = thread; word < words; word += kThreads) {
      const uint4 packed = static_cast<const uint4*>(t.x)[static_cast<int64_t>(m) * words + word];
      shared.x[m * shared.stride + word] = packed;
      float values[8];
      unpack8(packed, values);
#pragma unroll
      for (int e = 0; e < 8; ++e) {
        squares += values[e] * values[e];
        largest = fmaxf(largest, fabsf(values[e]));
      }
    }
    squares = warp_sum(squares);
    largest = warp_max(largest);
    if (first_lane) parts.squares[m][warp] = squares;
    if (first_lane && t.norm == nullptr) parts.largest[m][warp] = largest;
  }
  __syncthreads();
  for (int m = 0; m < shape.rows && t.norm != nullptr; ++m) {
    const float squares = joined(parts.squares[m], [](float a, float b) { return a + b; });
    const float inverse = rsqrtf(squares / static_cast<float>(shape.width) + shape.epsilon);
    float largest = 0.0F;
    for (int word = thread; word < words; word += kThreads) {
      float values[8], weights[8];
      unpack8(shared.x[m * shared.stride + word], values);
      unpack8(static_cast<const uint4*>(t.norm)[word], weights);
#pragma unroll
      for (int e = 0; e < 8; ++e) values[e] = weights[e] * (values[e] * inverse);
      const uint4 packed = pack8(values);
      shared.x[m * shared.stride + word] = packed;
      unpack8(packed, values);
#pragma unroll
      for (int e = 0; e < 8; ++e) largest = fmaxf(largest, fabsf(values[e]));
    }
    largest = warp_max(largest);
    if (first_lane) parts.largest[m][warp] = largest;
  }
  if (t.norm != nullptr) __syncthreads();
  for (int m = 0; m < shape.rows; ++m) {
    const float scale =
        half_scale(joined(parts.largest[m], [](float a, float b) { return fmaxf(a, b); }));
    if (thread == 0) x_scales[m] = scale;
    for (int word = thread; word < words; word += kThreads) {
      uint4& at = shared.x[m * shared.stride + word];
      float v[8];
      unpack8(at, v);
      at = make_uint4(
          half2_bits(v[0] * scale, v[1] * scale), half2_bits(v[2] * scale, v[3] * scale),
          half2_bits(v[4] * scale, v[5] * scale), half2_bits(v[6] * scale, v[7] * scale));
    }
  }
  __syncthreads();
}

/// The 16 elements of a lane from row g of x, as pairs; zeros beyond the last row.
__device__ void load_x(const Shared& shared, const SkinnyFrozenShape& shape, int step,
                       unsigned (&x)[8]) {
  const int lane = static_cast<int>(threadIdx.x) % 32, g = lane / 4;
  uint4 first = make_uint4(0, 0, 0, 0), second = first;
  if (g < shape.rows) {
    const uint4* words = shared.x + g * shared.stride + step * (kSkinnyStep / 8) + 2 * (lane % 4);
    first = words[0];
    second = words[1];
  }
  x[0] = first.x, x[1] = first.y, x[2] = first.z, x[3] = first.w;
  x[4] = second.x, x[5] = second.y, x[6] = second.z, x[7] = second.w;
}

// --- the results

__device__ float silu(float x) { return x / (1.0F + __expf(-x)); }

/// Sums of all warps for one tile -> out. `sums` [kWarps, 32, 4]: as multiply_add_half() has them.
template <typename Form>
__device__ void write_tile(const SkinnyFrozenTensors& t, const SkinnyFrozenShape& shape,
                           const Tiles& tiles, int tile, const float* sums, const float* x_scales) {
  const int thread = static_cast<int>(threadIdx.x);
  if (thread >= 32 * 4) return;
  const int lane = thread / 4, j = thread % 4;
  const int m = 2 * (lane % 4) + j % 2;
  if (m >= shape.rows || (shape.swiglu && j >= 2)) return;
  const auto total = [&](int at) {
    float sum = 0.0F;
#pragma unroll
    for (int warp = 0; warp < kWarps; ++warp) sum += sums[warp * 128 + at];
    return sum / x_scales[m];  // a power of two
  };
  const Row row = tiles.row(tile, lane / 4 + 8 * (j / 2));
  if (!row.is_real) return;
  float value = total(thread) * Form::row_scale(t, row);
  if (shape.swiglu) {
    const Row up = tiles.row(tile, lane / 4 + 8);
    value = silu(value) * (total(thread + 2) * Form::row_scale(t, up));
  }
  const int64_t at = static_cast<int64_t>(m) * tiles.columns() + row.column;
  if (t.residual != nullptr)
    value += __bfloat162float(static_cast<const __nv_bfloat16*>(t.residual)[at]);
  static_cast<__nv_bfloat16*>(t.out)[at] = __float2bfloat16_rn(value);
}

template <typename Form>
__global__ void __launch_bounds__(kThreads, kBlocksPerProcessor)
    skinny_frozen_kernel(const __grid_constant__ SkinnyFrozenTensors t,
                         const __grid_constant__ SkinnyFrozenShape shape, int tile_count) {
  extern __shared__ uint4 memory[];
  __shared__ float sums[2][kWarps * 128];
  __shared__ float x_scales[kSkinnyFrozenMaxRows];
  __shared__ RowParts row_parts;
  const int warp = static_cast<int>(threadIdx.x) / 32, lane = static_cast<int>(threadIdx.x) % 32;
  Shared shared;
  shared.x = memory;
  shared.stride = shape.width / 8 + 1;
  shared.pairs = reinterpret_cast<unsigned*>(memory + shape.rows * shared.stride);
  shared.tree = reinterpret_cast<float*>(shared.pairs + kNf4Pairs * 32);

  const Tiles tiles(t, shape);
  const int steps = shape.width / kSkinnyStep;
  const int turns = (steps + Form::kSteps * kWarps - 1) / (Form::kSteps * kWarps);
  auto set_rows = [&](Place& place) {
    if (place.tile >= tile_count) return;
    place.rows[0] = tiles.row(place.tile, lane / 4);
    place.rows[1] = tiles.row(place.tile, lane / 4 + 8);
  };
  auto advance = [&](Place& place) {
    if (++place.turn < turns) return;
    place.turn = 0;
    place.tile += static_cast<int>(gridDim.x);
    set_rows(place);
  };
  const auto first_step = [&](const Place& place) {
    return (place.turn * kWarps + warp) * Form::kSteps;
  };
  Place loading = {static_cast<int>(blockIdx.x), 0, {}};
  set_rows(loading);
  Place adding = loading;
  typename Form::Batch even, odd;
  auto load_next = [&](typename Form::Batch& batch) {
    if (loading.tile < tile_count) batch.load(t, loading, first_step(loading), steps);
    advance(loading);
  };

  let_next_kernel_start();
  load_next(even);
  Form::make_tables(t, shared);
  wait_for_earlier_kernels();  // x and the residual come from them, the codes do not
  stage(t, shape, shared, row_parts, x_scales);  // its barriers show the tables too

  float sum[4] = {0.0F, 0.0F, 0.0F, 0.0F};
  int parity = 0;
  auto add = [&](const typename Form::Batch& batch) {
    const auto scales = Form::scales(batch, shared);
#pragma unroll
    for (int i = 0; i < Form::kSteps; ++i) {
      const int step = first_step(adding) + i;
      if (step >= steps) break;  // for the whole warp
      unsigned x[8];
      load_x(shared, shape, step, x);
      Form::add(sum, batch, scales, i, x, shared);
    }
    if (adding.turn + 1 == turns) {
      float4* to = reinterpret_cast<float4*>(sums[parity]) + warp * 32 + lane;
      *to = make_float4(sum[0], sum[1], sum[2], sum[3]);
      __syncthreads();
      // The other half is free again when all have come to the next tile's barrier.
      write_tile<Form>(t, shape, tiles, adding.tile, sums[parity], x_scales);
      parity ^= 1;
      sum[0] = sum[1] = sum[2] = sum[3] = 0.0F;
    }
    advance(adding);
  };
  while (adding.tile < tile_count) {
    load_next(odd);
    add(even);
    if (adding.tile >= tile_count) break;
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
  return x + (form == SkinnyForm::kNf4 ? kNf4Pairs * (32 + 1) * 4 : 0);
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
