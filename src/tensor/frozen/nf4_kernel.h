// The CUDA kernel behind nf4_dequantise(): raw pointers and a stream, so that the .cu sees no torch
// header.
#pragma once

#include <cstdint>

#include "tensor/kit/element_type.h"

struct CUstream_st;  // cudaStream_t without CUDA's headers

namespace lococo {

/// An Nf4Matrix and the tables of its format (nf4.h); codes are 16-byte aligned.
struct Nf4Input {
  const uint8_t* codes = nullptr;
  const uint8_t* scale_codes = nullptr;
  const float* group_scales = nullptr;
  const float* offset = nullptr;
  const float* values_16 = nullptr;
  const float* tree_256 = nullptr;
  int64_t blocks = 0;  ///< of 64 values, < 2^28
};

/// out [blocks, 64]: value * (tree * group + offset), each step in float32 and rounded as torch's
/// operations round, then to `element`.
void launch_nf4_dequantise(const Nf4Input& input, void* out, ElementType element,
                           CUstream_st* stream);

}  // namespace lococo
