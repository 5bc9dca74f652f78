// The CUDA kernel behind softmax_cross_entropy(): raw pointers and a stream, so that the .cu sees
// no torch header.
#pragma once

#include <cstdint>

#include "tensor/kit/element_type.h"

struct CUstream_st;  // cudaStream_t without CUDA's headers

namespace lococo {

/// All contiguous. `gradient` may be null: then none is written.
struct SoftmaxCrossEntropyArguments {
  const void* logits;  ///< [X, V]
  ElementType logit_type;
  const int64_t* targets;  ///< [X]
  int64_t ignored_target;
  float* nll;      ///< [X]
  void* gradient;  ///< [X, V]
  ElementType gradient_type;
  int64_t X, V;  ///< both below 2^31
};

/// nll[x] = log sum_v exp(logits[x, v]) - logits[x, targets[x]] and gradient[x, v] =
/// exp(logits[x, v]) / sum - (v == targets[x]); both 0 where the target is the ignored one, NaN
/// where it is no index of a logit. One thread block reads each row twice, the second time from the
/// cache.
void launch_softmax_cross_entropy(const SoftmaxCrossEntropyArguments& arguments,
                                  CUstream_st* stream);

}  // namespace lococo
