#include <cuda_runtime.h>

#include "tensor/kit/packed8.cuh"
#include "tensor/layers/rotary_kernel.h"

namespace lococo {
namespace {

constexpr int kThreads = 256;

/// Work is dealt with heads inside rows, so that the threads that share a row's angles are near
/// each other and, when heads follow each other in memory, read one stretch of it.
struct Place {
  int64_t x, out, angle;  // offsets of a piece of the first half
};

__device__ Place place_of(const RotaryCall& call, unsigned index, int elements) {
  const unsigned pieces = static_cast<unsigned>(call.width) / 2 / elements;
  const auto heads = static_cast<unsigned>(call.heads), rows = static_cast<unsigned>(call.rows);
  const int64_t column = static_cast<int64_t>(index % pieces) * elements;
  unsigned rest = index / pieces;
  const int64_t head = rest % heads;
  rest /= heads;
  const int64_t row = rest % rows, batch = rest / rows;
  auto offset = [&](const RotaryStrides& strides) {
    return batch * strides.batch + head * strides.head + row * strides.row + column;
  };
  const int64_t angle =
      call.places == nullptr ? row : call.places[(batch * heads + head) * rows + row];
  return {offset(call.x_strides), offset(call.out_strides), angle * call.angle_stride + column};
}

__device__ void turn(float& first, float& second, float cos, float sin) {
  const float turned = first * cos - second * sin;
  second = second * cos + first * sin;
  first = turned;
}

template <typename T>
__global__ void rotary_vector_kernel(RotaryCall call, unsigned pieces) {
  const unsigned index = blockIdx.x * kThreads + threadIdx.x;
  if (index >= pieces) return;
  const Place place = place_of(call, index, 8);
  const int64_t half = call.width / 2;
  const T* x = static_cast<const T*>(call.x) + place.x;
  T* out = static_cast<T*>(call.out) + place.out;
  float first[8], second[8], cos[8], sin[8];
  unpack8(load8(x), first);
  unpack8(load8(x + half), second);
  unpack8(load8(call.cos + place.angle), cos);
  unpack8(load8(call.sin + place.angle), sin);
#pragma unroll
  for (int i = 0; i < 8; ++i) turn(first[i], second[i], cos[i], call.direction * sin[i]);
  store8(out, first);
  store8(out + half, second);
}

template <typename T>
__global__ void rotary_scalar_kernel(RotaryCall call, unsigned pieces) {
  const unsigned index = blockIdx.x * kThreads + threadIdx.x;
  if (index >= pieces) return;
  const Place place = place_of(call, index, 1);
  const int64_t half = call.width / 2;
  const T* x = static_cast<const T*>(call.x) + place.x;
  T* out = static_cast<T*>(call.out) + place.out;
  float first = widen(x[0]), second = widen(x[half]);
  turn(first, second, call.cos[place.angle], call.direction * call.sin[place.angle]);
  out[0] = round_to<T>(first);
  out[half] = round_to<T>(second);
}

template <typename T>
void rotary_of(const RotaryCall& call, CUstream_st* stream) {
  const int64_t elements = call.batches * call.heads * call.rows * call.width / 2;
  const auto pieces = static_cast<unsigned>(call.vectorised ? elements / 8 : elements);
  const unsigned blocks = (pieces - 1) / kThreads + 1;
  if (call.vectorised) {
    rotary_vector_kernel<T><<<blocks, kThreads, 0, stream>>>(call, pieces);
  } else {
    rotary_scalar_kernel<T><<<blocks, kThreads, 0, stream>>>(call, pieces);
  }
}

}  // namespace

void launch_rotary(const RotaryCall& call, CUstream_st* stream) {
  if (call.element == ElementType::kBfloat16) {
    rotary_of<__nv_bfloat16>(call, stream);
  } else {
    rotary_of<float>(call, stream);
  }
}

}  // namespace lococo
