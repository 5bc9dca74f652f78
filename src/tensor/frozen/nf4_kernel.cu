#include <cuda_runtime.h>

#include "tensor/frozen/nf4_kernel.h"
#include "tensor/kit/packed8.cuh"

namespace lococo {
namespace {

constexpr int kThreads = 256;
constexpr unsigned kPieces = 8;  ///< of 8 values in a block of 64

/// Not contracted to one rounding: the slow path rounds twice.
__device__ float scale_of(const Nf4Input& input, unsigned block) {
  const float part = __ldg(input.tree_256 + __ldg(input.scale_codes + block));
  return __fadd_rn(__fmul_rn(part, __ldg(input.group_scales + block / 256)), __ldg(input.offset));
}

/// A thread makes 8 values of 4 bytes.
template <typename T>
__global__ void dequantise_kernel(Nf4Input input, T* out, unsigned pieces) {
  __shared__ float table[16];  // 16 banks: no two values stand in one
  if (threadIdx.x < 16) table[threadIdx.x] = input.values_16[threadIdx.x];
  __syncthreads();
  const unsigned index = blockIdx.x * kThreads + threadIdx.x;
  if (index >= pieces) return;
  const unsigned codes = __ldg(reinterpret_cast<const unsigned*>(input.codes) + index);
  const float scale = scale_of(input, index / kPieces);
  float values[8];
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const unsigned byte = codes >> (8 * i);
    values[2 * i] = __fmul_rn(table[byte >> 4 & 15], scale);
    values[2 * i + 1] = __fmul_rn(table[byte & 15], scale);
  }
  store8(out + static_cast<int64_t>(index) * 8, values);
}

template <typename T>
void launch(const Nf4Input& input, void* out, CUstream_st* stream) {
  const auto pieces = static_cast<unsigned>(input.blocks) * kPieces;
  dequantise_kernel<<<(pieces - 1) / kThreads + 1, kThreads, 0, stream>>>(
      input, static_cast<T*>(out), pieces);
}

}  // namespace

void launch_nf4_dequantise(const Nf4Input& input, void* out, ElementType element,
                           CUstream_st* stream) {
  if (element == ElementType::kBfloat16) {
    launch<__nv_bfloat16>(input, out, stream);
  } else {
    launch<float>(input, out, stream);
  }
}

}  // namespace lococo
