// The CUDA kernels of a softmax over time with channels last: how much of each token goes into each
// mixed slot. Raw pointers and a stream, so that the .cu sees no torch header. bfloat16 numbers
// travel as their bits.
//
//   X rows (B * G heads of a batch)    S' time: the slots that are not kept    R mixed slots
#pragma once

#include <cstdint>

#include "lococo/compress_kernel.h"

namespace lococo {

struct TimeSoftmaxShape {
  int64_t rows;   ///< X
  int64_t heads;  ///< G
  int time;       ///< S'
  int mixed;      ///< R, a multiple of 8
};

/// weights[x, :, r] = softmax(y[x, :, r]), both bfloat16 [X, S', R], in float32 and rounded once;
/// lse[x, r] = log(sum over s of exp(y)), float32 [X, R]; mixed_mass[x, r] = sum over s of
/// weights * mass of slot rest[x, s], float32 [X, R].
void launch_time_softmax(const uint16_t* y, const int32_t* rest,
                         const NumberView<const float>& mass, uint16_t* weights, float* lse,
                         float* mixed_mass, const TimeSoftmaxShape& shape, CUstream_st* stream);

/// The gradient through the softmax and the ReLU that made y, from that of the weights: bfloat16
/// [X, S', R]. d_bias[x, r] is its sum over time before rounding, float32 [X, R]. The same inputs
/// give the same bits.
void launch_time_softmax_gradient(const uint16_t* y, const float* lse, const uint16_t* d_weights,
                                  uint16_t* dy, float* d_bias, const TimeSoftmaxShape& shape,
                                  CUstream_st* stream);

}  // namespace lococo
