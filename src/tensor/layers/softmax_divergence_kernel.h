// The CUDA kernel behind softmax_divergence(): raw pointers and a stream, so that the .cu sees no
// torch header.
#pragma once

#include <cstdint>

struct CUstream_st;  // cudaStream_t without CUDA's headers

namespace lococo {

/// All contiguous, logits at a multiple of 16 bytes.
struct SoftmaxDivergenceArguments {
  const float* student;    ///< [X, V]
  const float* teacher;    ///< [X, V]
  const float* weights;    ///< [X]
  const int64_t* targets;  ///< [X], may be null when truth is
  const float* truth;      ///< [X], null: 0
  float* loss;             ///< [X]
  void* gradient;          ///< bfloat16 [X, V]
  int64_t X, V;            ///< both below 2^31
};

/// With p = softmax(teacher), q = softmax(student), t = truth, w = weight of a row:
///   loss = w ((1 - t) sum of p log(p / q) - t log q[target]),
///   gradient = w (q - (1 - t) p - t onehot(target)).
/// Rows of weight 0 get zeros whatever their target; else a target that is no index of a logit
/// makes a row with truth NaN. One thread block reads each row twice, the second time from the
/// cache.
void launch_softmax_divergence(const SoftmaxDivergenceArguments& arguments, CUstream_st* stream);

}  // namespace lococo
