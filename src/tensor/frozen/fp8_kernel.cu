#include <cuda_fp8.h>
#include <cuda_runtime.h>

#include <type_traits>

#include "tensor/frozen/fp8_kernel.h"
#include "tensor/kit/packed8.cuh"
#include "tensor/kit/reduce.cuh"

namespace lococo {
namespace {

constexpr int kMaxThreads = 512;

/// Eight codes, the first in the lowest byte.
__device__ uint2 codes_of(const float (&values)[8], float inverse) {
  unsigned pairs[4];
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const float2 pair =
        make_float2(__fmul_rn(values[2 * i], inverse), __fmul_rn(values[2 * i + 1], inverse));
    pairs[i] = __nv_cvt_float2_to_fp8x2(pair, __NV_SATFINITE, __NV_E4M3);
  }
  return make_uint2(pairs[0] | pairs[1] << 16, pairs[2] | pairs[3] << 16);
}

/// A block takes a row and keeps it in registers: vector v of thread t is the (v * threads + t)-th
/// eight of the row. Every step is rounded as torch's operations round.
template <typename T, int kVectors>
__global__ void __launch_bounds__(kMaxThreads) rows_kernel(Fp8RowsTensors tensors, int width) {
  const int64_t row_offset = static_cast<int64_t>(blockIdx.x) * width;
  const T* x = static_cast<const T*>(tensors.x) + row_offset;
  float values[kVectors][8];
  float largest = kFp8Smallest;
#pragma unroll
  for (int v = 0; v < kVectors; ++v) {
    const int column = 8 * (v * static_cast<int>(blockDim.x) + static_cast<int>(threadIdx.x));
    if (column >= width) continue;
    unpack8(load8(x + column), values[v]);
    if (tensors.factor != nullptr) {
      float factor[8];
      unpack8(load8(tensors.factor + column), factor);
#pragma unroll
      for (int i = 0; i < 8; ++i) values[v][i] = __fmul_rn(values[v][i], factor[i]);
    }
#pragma unroll
    for (int i = 0; i < 8; ++i) largest = fmaxf(largest, fabsf(values[v][i]));
  }
  const float scale = __fmul_rn(block_max<kMaxThreads>(largest), kFp8Part);
  const float inverse = __frcp_rn(scale);
  if (threadIdx.x == 0) tensors.scale[blockIdx.x] = scale;
  auto* codes = static_cast<uint8_t*>(tensors.codes) + row_offset;
#pragma unroll
  for (int v = 0; v < kVectors; ++v) {
    const int column = 8 * (v * static_cast<int>(blockDim.x) + static_cast<int>(threadIdx.x));
    if (column < width) *reinterpret_cast<uint2*>(codes + column) = codes_of(values[v], inverse);
  }
}

template <typename T, int kVectors>
void launch(const Fp8RowsTensors& tensors, int64_t rows, int64_t width, CUstream_st* stream) {
  const int64_t threads = (width / 8 + kVectors - 1) / kVectors;
  rows_kernel<T, kVectors>
      <<<static_cast<unsigned>(rows), static_cast<unsigned>((threads + 31) / 32 * 32), 0, stream>>>(
          tensors, static_cast<int>(width));
}

template <typename T>
void launch_width(const Fp8RowsTensors& tensors, int64_t rows, int64_t width, CUstream_st* stream) {
  if (width <= 2 * 8 * kMaxThreads) return launch<T, 2>(tensors, rows, width, stream);
  if (width <= 4 * 8 * kMaxThreads) return launch<T, 4>(tensors, rows, width, stream);
  launch<T, 8>(tensors, rows, width, stream);
}

}  // namespace

void launch_fp8_rows(const Fp8RowsTensors& tensors, int64_t rows, int64_t width,
                     ElementType element, CUstream_st* stream) {
  static_assert(kFp8MostWidth == 8 * 8 * kMaxThreads);
  if (element == ElementType::kBfloat16) {
    launch_width<__nv_bfloat16>(tensors, rows, width, stream);
  } else {
    launch_width<float>(tensors, rows, width, stream);
  }
}

}  // namespace lococo
