#include <cuda_runtime.h>

#include <algorithm>
#include <type_traits>

#include "tensor/kit/packed8.cuh"
#include "tensor/kit/reduce.cuh"
#include "tensor/layers/rms_norm_kernel.h"

namespace lococo {
namespace {

constexpr int kMaxThreads = 512;

/// A block takes a row and keeps it in registers: vector v of thread t is the
/// (v * threads + t)-th eight of the row.
template <typename T, typename W, int kVectors>
__global__ void __launch_bounds__(kMaxThreads)
    rms_norm_forward_kernel(RmsNormForward tensors, int64_t width) {
  const int64_t row_offset = blockIdx.x * width;
  const T* x = static_cast<const T*>(tensors.x) + row_offset;
  float values[kVectors][8];
  float squares = 0.0F;
#pragma unroll
  for (int v = 0; v < kVectors; ++v) {
    const int64_t column = 8 * (static_cast<int64_t>(v) * blockDim.x + threadIdx.x);
    if (column >= width) continue;
    unpack8(load8(x + column), values[v]);
    if (tensors.residual != nullptr) {
      float added[8];
      unpack8(load8(static_cast<const T*>(tensors.residual) + row_offset + column), added);
      for (int i = 0; i < 8; ++i) values[v][i] = widen(round_to<T>(values[v][i] + added[i]));
      store8(static_cast<T*>(tensors.sum) + row_offset + column, values[v]);
    }
    for (int i = 0; i < 8; ++i) squares += values[v][i] * values[v][i];
  }
  const float mean = block_sum<kMaxThreads>(squares) / static_cast<float>(width);
  const float rstd = rsqrtf(mean + tensors.epsilon);
  if (threadIdx.x == 0) tensors.rstd[blockIdx.x] = rstd;
  T* normed = static_cast<T*>(tensors.normed) + row_offset;
#pragma unroll
  for (int v = 0; v < kVectors; ++v) {
    const int64_t column = 8 * (static_cast<int64_t>(v) * blockDim.x + threadIdx.x);
    if (column >= width) continue;
    float weight[8];
    unpack8(load8(static_cast<const W*>(tensors.weight) + column), weight);
    for (int i = 0; i < 8; ++i) values[v][i] = weight[i] * (values[v][i] * rstd);
    store8(normed + column, values[v]);
  }
}

/// With n = x * rstd and g = d_normed * weight: d_x = rstd * (g - n * mean(g * n)) + d_sum and
/// d_weight = the sum of d_normed * n over rows, of which block b takes b, b + gridDim.x, ...
template <typename T, typename W, int kVectors, bool kWeightGradient>
__global__ void __launch_bounds__(kMaxThreads)
    rms_norm_backward_kernel(RmsNormBackward tensors, int64_t rows, int64_t width) {
  float d_weight[kVectors][8] = {};
  for (int64_t row = blockIdx.x; row < rows; row += gridDim.x) {
    const int64_t row_offset = row * width;
    const float rstd = tensors.rstd[row];
    float n[kVectors][8], g[kVectors][8];
    Packed8<T> passed[kVectors];  // loaded before the block waits for its sum
    float products = 0.0F;
#pragma unroll
    for (int v = 0; v < kVectors; ++v) {
      const int64_t column = 8 * (static_cast<int64_t>(v) * blockDim.x + threadIdx.x);
      if (column >= width) continue;
      unpack8(load8(static_cast<const T*>(tensors.d_normed) + row_offset + column), g[v]);
      unpack8(load8(static_cast<const T*>(tensors.x) + row_offset + column), n[v]);
      if (tensors.d_sum != nullptr)
        passed[v] = load8(static_cast<const T*>(tensors.d_sum) + row_offset + column);
      float weight[8];
      unpack8(load8(static_cast<const W*>(tensors.weight) + column), weight);
      for (int i = 0; i < 8; ++i) {
        n[v][i] *= rstd;
        if constexpr (kWeightGradient) d_weight[v][i] += g[v][i] * n[v][i];
        g[v][i] *= weight[i];
        products += g[v][i] * n[v][i];
      }
    }
    const float mean = block_sum<kMaxThreads>(products) / static_cast<float>(width);
#pragma unroll
    for (int v = 0; v < kVectors; ++v) {
      const int64_t column = 8 * (static_cast<int64_t>(v) * blockDim.x + threadIdx.x);
      if (column >= width) continue;
      float added[8] = {};
      if (tensors.d_sum != nullptr) unpack8(passed[v], added);
      for (int i = 0; i < 8; ++i) g[v][i] = rstd * (g[v][i] - n[v][i] * mean) + added[i];
      store8(static_cast<T*>(tensors.d_x) + row_offset + column, g[v]);
    }
  }
  if constexpr (kWeightGradient) {
#pragma unroll
    for (int v = 0; v < kVectors; ++v) {
      const int64_t column = 8 * (static_cast<int64_t>(v) * blockDim.x + threadIdx.x);
      if (column < width) store8(tensors.d_weight + blockIdx.x * width + column, d_weight[v]);
    }
  }
}

/// Whole warps, and two vectors a thread (four in the widest rows).
unsigned threads_for(int64_t width, int64_t vectors) {
  const int64_t threads = (width / 8 + vectors - 1) / vectors;
  return static_cast<unsigned>((threads + 31) / 32 * 32);
}

template <typename T, typename W, int kVectors>
void forward_of(const RmsNormForward& tensors, const RmsNormShape& shape, CUstream_st* stream) {
  rms_norm_forward_kernel<T, W, kVectors>
      <<<static_cast<unsigned>(shape.rows), threads_for(shape.width, kVectors), 0, stream>>>(
          tensors, shape.width);
}

template <typename T, typename W, int kVectors>
void backward_of(const RmsNormBackward& tensors, const RmsNormShape& shape, CUstream_st* stream) {
  const unsigned threads = threads_for(shape.width, kVectors);
  if (tensors.d_weight != nullptr) {
    const auto blocks = static_cast<unsigned>(rms_norm_chunks(shape.rows));
    rms_norm_backward_kernel<T, W, kVectors, true>
        <<<blocks, threads, 0, stream>>>(tensors, shape.rows, shape.width);
  } else {
    rms_norm_backward_kernel<T, W, kVectors, false>
        <<<static_cast<unsigned>(shape.rows), threads, 0, stream>>>(tensors, shape.rows,
                                                                    shape.width);
  }
}

/// Calls launch(element of x, element of the weight, vectors a thread) for what the shape says.
template <typename Launch>
void with_case_of(const RmsNormShape& shape, const Launch& launch) {
  auto with_elements = [&](auto element, auto weight_element) {
    if (shape.width > 2 * 8 * kMaxThreads) {
      launch(element, weight_element, std::integral_constant<int, 4>{});
    } else {
      launch(element, weight_element, std::integral_constant<int, 2>{});
    }
  };
  auto with_element = [&](auto element) {
    if (shape.weight_element == ElementType::kBfloat16) {
      with_elements(element, __nv_bfloat16{});
    } else {
      with_elements(element, float{});
    }
  };
  if (shape.element == ElementType::kBfloat16) {
    with_element(__nv_bfloat16{});
  } else {
    with_element(float{});
  }
}

}  // namespace

int64_t rms_norm_chunks(int64_t rows) {
  constexpr int64_t kMostChunks = 4 * 132;  // four blocks on each multiprocessor of an H200
  constexpr int64_t kLeastRows = 4;         // so that partial sums stay small beside the rows
  return std::clamp<int64_t>((rows + kLeastRows - 1) / kLeastRows, 1, kMostChunks);
}

void launch_rms_norm_forward(const RmsNormForward& tensors, const RmsNormShape& shape,
                             CUstream_st* stream) {
  with_case_of(shape, [&](auto element, auto weight_element, auto vectors) {
    forward_of<decltype(element), decltype(weight_element), decltype(vectors)::value>(
        tensors, shape, stream);
  });
}

void launch_rms_norm_backward(const RmsNormBackward& tensors, const RmsNormShape& shape,
                              CUstream_st* stream) {
  with_case_of(shape, [&](auto element, auto weight_element, auto vectors) {
    backward_of<decltype(element), decltype(weight_element), decltype(vectors)::value>(
        tensors, shape, stream);
  });
}

}  // namespace lococo
