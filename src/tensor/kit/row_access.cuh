// Neighbouring elements of a row as float32: eight at a time where rows are multiples of eight long
// and lie at multiples of 16 bytes, else one, with the same code in the kernel.
#pragma once

#include "tensor/kit/packed8.cuh"

namespace lococo {

template <typename T>
__device__ inline void read_row(float (&values)[8], const T* from) {
  unpack8(load8(from), values);
}

template <typename T>
__device__ inline void read_row(float (&values)[1], const T* from) {
  values[0] = widen(*from);
}

template <typename T>
__device__ inline void write_row(T* to, const float (&values)[8]) {
  store8(to, values);
}

template <typename T>
__device__ inline void write_row(T* to, const float (&values)[1]) {
  *to = round_to<T>(values[0]);
}

}  // namespace lococo
