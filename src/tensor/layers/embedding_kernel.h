// The CUDA kernels behind embedding(): raw pointers and a stream, so that the .cu sees no torch
// header. All arrays are contiguous; rows are read and written 16 bytes at a time where E is a
// multiple of 8 (pointers 16-byte aligned).
#pragma once

#include <cstdint>

#include "tensor/kit/element_type.h"

struct CUstream_st;  // cudaStream_t without CUDA's headers

namespace lococo {

struct EmbeddingShape {
  int64_t positions;  ///< > 0, below 2^30
  int64_t V, E;       ///< V below 2^30
};

/// out[i] = weight[tokens[i]], weight float32 [V, E], out [positions, E] of `out_type`.
void launch_embedding(const float* weight, const int64_t* tokens, void* out, ElementType out_type,
                      const EmbeddingShape& shape, CUstream_st* stream);

struct EmbeddingBackward {
  const int64_t* order;          ///< [positions]: positions by token, then by position
  const int32_t* sorted_tokens;  ///< [positions]: their tokens
  const void* gradient;          ///< [positions, E]
  ElementType gradient_type;     ///< of `gradient`
  float* weight_gradient;        ///< [V, E], added to
};

/// weight_gradient[t] += sum of gradient[i] over the positions i of token t, in their order. The
/// same inputs give the same bits.
void launch_embedding_backward(const EmbeddingBackward& tensors, const EmbeddingShape& shape,
                               CUstream_st* stream);

}  // namespace lococo
