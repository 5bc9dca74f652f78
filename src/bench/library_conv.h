// LibTorch's own 1-d convolution (cuDNN on a GPU) in the layouts that it knows, timed.
#pragma once

#include <torch/types.h>

#include "bench/timing.h"

namespace lococo {

/// Letters as in tensor/conv/time_conv.h, with "same" padding.
struct ConvSize {
  int64_t X = 0;  ///< sequences
  int64_t C = 0;  ///< input channels
  int64_t O = 0;  ///< output channels
  int64_t S = 0;  ///< time
  int64_t K = 0;  ///< taps

  /// Of the forward pass; the weight gradient takes as many.
  double flops() const {
    return 2.0 * static_cast<double>(X) * static_cast<double>(S) * static_cast<double>(C) *
           static_cast<double>(O) * static_cast<double>(K);
  }
};

/// Seconds of one call, the best of time last (conv1d) and channels last (conv2d of height 1), both
/// with cuDNN's search for the fastest algorithm.
struct ConvTimes {
  double forward = 0.0;
  double weight_gradient = 0.0;
  double input_gradient = 0.0;  ///< 0 unless asked for
};

ConvTimes time_library_conv(const ConvSize& size, torch::TensorOptions options, bool input_gradient,
                            const Rounds& rounds = {});

}  // namespace lococo
