// A warp computes two outputs at a time: its lanes read 16 neighbouring bytes of two weight rows
// each, always one batch ahead of the arithmetic, so that the memory never waits. The few rows of x
// lie in shared memory, normed there.
#include <cuda_runtime.h>

#include <algorithm>

#include "tensor/kit/dependent_launch.cuh"
#include "tensor/kit/packed8.cuh"
#include "tensor/kit/reduce.cuh"
#include "tensor/layers/skinny_linear_kernel.h"
#include "tensor/layers/skinny_linear_walk.cuh"

namespace lococo {
namespace {

using namespace skinny_walk;

constexpr int kThreads = 32 * kWarps;
constexpr int kBlocksPerProcessor = 2;

/// Weights are read once: they should not push anything else out of the caches.
__device__ uint4 load_weights(const uint4* from) {
  uint4 value;
  asm volatile("ld.global.nc.L1::no_allocate.v4.u32 {%0, %1, %2, %3}, [%4];"
               : "=r"(value.x), "=r"(value.y), "=r"(value.z), "=r"(value.w)
               : "l"(from));
  return value;
}

struct Batch {
  uint4 words[kOutputs][kBatch];

  __device__ void load(const Walk& walk, const Place& place, int words) {
    const int lane = static_cast<int>(threadIdx.x) % 32;
#pragma unroll
    for (int i = 0; i < kBatch; ++i) {
      const int word = place.word + 32 * i + lane;
      const bool inside = !walk.done(place) && word < words;
#pragma unroll
      for (int r = 0; r < kOutputs; ++r)
        this->words[r][i] = inside ? load_weights(place.rows[r] + word) : make_uint4(0, 0, 0, 0);
    }
  }
};

template <int M>
struct Sums {
  float value[kOutputs][M];

  __device__ void clear() {
#pragma unroll
    for (int r = 0; r < kOutputs; ++r) {
#pragma unroll
      for (int m = 0; m < M; ++m) value[r][m] = 0.0f;
    }
  }

  __device__ void add(const Batch& batch, const uint4* x_shared, const Place& place, int words) {
    const int lane = static_cast<int>(threadIdx.x) % 32;
#pragma unroll
    for (int i = 0; i < kBatch; ++i) {
      const int word = place.word + 32 * i + lane;
      float w[kOutputs][8];
#pragma unroll
      for (int r = 0; r < kOutputs; ++r) unpack8(batch.words[r][i], w[r]);
#pragma unroll
      for (int m = 0; m < M; ++m) {
        float x[8];
        unpack8(word < words ? x_shared[m * words + word] : make_uint4(0, 0, 0, 0), x);
#pragma unroll
        for (int r = 0; r < kOutputs; ++r) {
#pragma unroll
          for (int e = 0; e < 8; ++e) value[r][m] += w[r][e] * x[e];
        }
      }
    }
  }

  __device__ void reduce() {
#pragma unroll
    for (int r = 0; r < kOutputs; ++r) {
#pragma unroll
      for (int m = 0; m < M; ++m) {
#pragma unroll
        for (int offset = 16; offset > 0; offset /= 2)
          value[r][m] += __shfl_xor_sync(0xffffffffU, value[r][m], offset);
      }
    }
  }
};

__device__ float silu(float x) { return x / (1.0f + __expf(-x)); }

__device__ void write(const SkinnyLinearTensors& t, const SkinnyLinearShape& shape, Output output,
                      int m, float value) {
  const int N = output.weight == 0   ? shape.outputs[0]
                : output.weight == 1 ? shape.outputs[1]
                                     : shape.outputs[2];
  void* out = output.weight == 0 ? t.outs[0] : output.weight == 1 ? t.outs[1] : t.outs[2];
  const int64_t at = static_cast<int64_t>(m) * N + output.row;
  if (t.residual != nullptr)
    value += __bfloat162float(static_cast<const __nv_bfloat16*>(t.residual)[at]);
  if (shape.wide) {
    static_cast<float*>(out)[at] = value;
  } else {
    static_cast<__nv_bfloat16*>(out)[at] = __float2bfloat16_rn(value);
  }
}

template <int M>
__device__ void finish(Sums<M>& sums, const Walk& walk, const SkinnyLinearTensors& t,
                       const SkinnyLinearShape& shape, int unit) {
  sums.reduce();
  if (threadIdx.x % 32 == 0) {
#pragma unroll
    for (int m = 0; m < M; ++m) {
      if (shape.swiglu) {
        write(t, shape, {0, unit}, m, silu(sums.value[0][m]) * sums.value[1][m]);
      } else {
#pragma unroll
        for (int r = 0; r < kOutputs; ++r) {
          if (walk.is_real(unit, r)) write(t, shape, walk.output(unit, r), m, sums.value[r][m]);
        }
      }
    }
  }
  sums.clear();
}

/// x into shared memory, normed and rounded where there is a norm.
template <int M>
__device__ void stage(const SkinnyLinearTensors& t, const SkinnyLinearShape& shape,
                      uint4* x_shared) {
  __shared__ float warp_sums[M][kWarps];
  const int thread = static_cast<int>(threadIdx.x), words = shape.width / 8;
  const auto* x = static_cast<const uint4*>(t.x);
#pragma unroll
  for (int m = 0; m < M; ++m) {
    float squares = 0.0f;
    for (int word = thread; word < words; word += kThreads) {
      const uint4 packed = x[m * words + word];
      x_shared[m * words + word] = packed;
      float values[8];
      unpack8(packed, values);
#pragma unroll
      for (int e = 0; e < 8; ++e) squares += values[e] * values[e];
    }
    squares = warp_sum(squares);
    if (thread % 32 == 0) warp_sums[m][thread / 32] = squares;
  }
  __syncthreads();
  if (t.norm == nullptr) return;
  const auto* norm = static_cast<const uint4*>(t.norm);
#pragma unroll
  for (int m = 0; m < M; ++m) {
    float squares = 0.0f;
#pragma unroll
    for (int w = 0; w < kWarps; ++w) squares += warp_sums[m][w];
    const float inverse = rsqrtf(squares / static_cast<float>(shape.width) + shape.epsilon);
    for (int word = thread; word < words; word += kThreads) {
      float values[8], weights[8];
      unpack8(x_shared[m * words + word], values);
      unpack8(norm[word], weights);
#pragma unroll
      for (int e = 0; e < 8; ++e) values[e] = weights[e] * (values[e] * inverse);
      x_shared[m * words + word] = pack8(values);
    }
  }
  __syncthreads();
}

template <int M>
__global__ void __launch_bounds__(kThreads, kBlocksPerProcessor)
    skinny_linear_kernel(const __grid_constant__ SkinnyLinearTensors t,
                         const __grid_constant__ SkinnyLinearShape shape) {
  extern __shared__ uint4 x_shared[];
  const int words = shape.width / 8;
  const Walk walk(t, shape);
  Place loading = walk.first(), adding = loading;
  Batch even, odd;
  let_next_kernel_start();
  even.load(walk, loading, words);
  walk.advance(loading);
  wait_for_earlier_kernels();  // x and the residual come from them, the weights do not
  stage<M>(t, shape, x_shared);
  Sums<M> sums;
  sums.clear();
  auto add = [&](const Batch& batch) {
    sums.add(batch, x_shared, adding, words);
    if (walk.ends_unit(adding)) finish(sums, walk, t, shape, adding.unit);
    walk.advance(adding);
  };
  while (!walk.done(adding)) {
    odd.load(walk, loading, words);
    walk.advance(loading);
    add(even);
    if (walk.done(adding)) break;
    even.load(walk, loading, words);
    walk.advance(loading);
    add(odd);
  }
}

template <int M>
void launch_rows(const SkinnyLinearTensors& t, const SkinnyLinearShape& shape,
                 CUstream_st* stream) {
  const int total = shape.outputs[0] + shape.outputs[1] + shape.outputs[2];
  const int units = shape.swiglu ? shape.outputs[0] : (total + kOutputs - 1) / kOutputs;
  // As many rounds as the resident warps need, and no more warps than share the rounds evenly.
  const int resident = kBlocksPerProcessor * shape.processors * kWarps;
  const int rounds = (units + resident - 1) / resident;
  const int warps = (units + rounds - 1) / rounds;
  const auto blocks = static_cast<unsigned>((warps + kWarps - 1) / kWarps);
  const size_t bytes = static_cast<size_t>(M) * static_cast<size_t>(shape.width) * 2;
  if (bytes > 47 * 1024) {
    cudaFuncSetAttribute(skinny_linear_kernel<M>, cudaFuncAttributeMaxDynamicSharedMemorySize,
                         static_cast<int>(bytes));
  }
  launch_dependent(skinny_linear_kernel<M>, dim3(blocks), kThreads, bytes, stream, shape.overlap, t,
                   shape);
}

}  // namespace

void launch_skinny_linear(const SkinnyLinearTensors& tensors, const SkinnyLinearShape& shape,
                          CUstream_st* stream) {
  switch (shape.rows) {
    case 1:
      return launch_rows<1>(tensors, shape, stream);
    case 2:
      return launch_rows<2>(tensors, shape, stream);
    case 3:
      return launch_rows<3>(tensors, shape, stream);
    default:
      return launch_rows<4>(tensors, shape, stream);
  }
}

}  // namespace lococo
