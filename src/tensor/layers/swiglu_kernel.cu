#include <cuda_runtime.h>

#include "tensor/kit/packed8.cuh"
#include "tensor/layers/swiglu_kernel.h"

namespace lococo {
namespace {

constexpr int kThreads = 256;

struct Place {
  int64_t gate, up, out;
};

/// Of the index-th eight elements.
__device__ Place place_of(const SwigluShape& shape, unsigned index) {
  const unsigned pieces = static_cast<unsigned>(shape.width) / 8;
  const int64_t row = index / pieces;
  const int64_t column = static_cast<int64_t>(index % pieces) * 8;
  return {row * shape.gate_stride + column, row * shape.up_stride + column,
          static_cast<int64_t>(index) * 8};
}

template <typename T>
__global__ void swiglu_kernel(const T* gate, const T* up, T* out, SwigluShape shape,
                              unsigned pieces) {
  const unsigned index = blockIdx.x * kThreads + threadIdx.x;
  if (index >= pieces) return;
  const Place place = place_of(shape, index);
  float g[8], u[8];
  unpack8(load8(gate + place.gate), g);
  unpack8(load8(up + place.up), u);
#pragma unroll
  for (int i = 0; i < 8; ++i) u[i] *= g[i] / (1.0F + __expf(-g[i]));
  store8(out + place.out, u);
}

/// silu'(g) = s (1 + g (1 - s)) with s = sigmoid(g)
template <typename T>
__global__ void swiglu_backward_kernel(const T* d_out, const T* gate, const T* up, T* d_gate,
                                       T* d_up, SwigluShape shape, unsigned pieces) {
  const unsigned index = blockIdx.x * kThreads + threadIdx.x;
  if (index >= pieces) return;
  const Place place = place_of(shape, index);
  float d[8], g[8], u[8];
  unpack8(load8(d_out + place.out), d);
  unpack8(load8(gate + place.gate), g);
  unpack8(load8(up + place.up), u);
#pragma unroll
  for (int i = 0; i < 8; ++i) {
    const float sigmoid = 1.0F / (1.0F + __expf(-g[i]));
    u[i] *= d[i] * sigmoid * (1.0F + g[i] * (1.0F - sigmoid));
    d[i] *= g[i] * sigmoid;
  }
  store8(d_gate + place.out, u);
  store8(d_up + place.out, d);
}

/// Calls launch(element, eights, blocks).
template <typename Launch>
void with_case_of(const SwigluShape& shape, const Launch& launch) {
  const auto pieces = static_cast<unsigned>(shape.rows * shape.width / 8);
  const unsigned blocks = (pieces - 1) / kThreads + 1;
  if (shape.element == ElementType::kBfloat16) {
    launch(__nv_bfloat16{}, pieces, blocks);
  } else {
    launch(float{}, pieces, blocks);
  }
}

}  // namespace

void launch_swiglu(const void* gate, const void* up, void* out, const SwigluShape& shape,
                   CUstream_st* stream) {
  with_case_of(shape, [&](auto element, unsigned pieces, unsigned blocks) {
    using T = decltype(element);
    swiglu_kernel<<<blocks, kThreads, 0, stream>>>(static_cast<const T*>(gate),
                                                   static_cast<const T*>(up), static_cast<T*>(out),
                                                   shape, pieces);
  });
}

void launch_swiglu_backward(const void* d_out, const void* gate, const void* up, void* d_gate,
                            void* d_up, const SwigluShape& shape, CUstream_st* stream) {
  with_case_of(shape, [&](auto element, unsigned pieces, unsigned blocks) {
    using T = decltype(element);
    swiglu_backward_kernel<<<blocks, kThreads, 0, stream>>>(
        static_cast<const T*>(d_out), static_cast<const T*>(gate), static_cast<const T*>(up),
        static_cast<T*>(d_gate), static_cast<T*>(d_up), shape, pieces);
  });
}

}  // namespace lococo
