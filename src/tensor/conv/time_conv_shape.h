// Sizes of a convolution over time, as its kernels take them.
#pragma once

#include <cstdint>

namespace lococo {

struct TimeConvShape {
  int64_t sequences;  ///< X
  int64_t rows;       ///< S
  int64_t channels;   ///< C, a multiple of 64
  int64_t outputs;    ///< O, a multiple of 8
  int64_t taps;       ///< K, odd and at most kTimeConvMaxTaps
};

inline constexpr int64_t kTimeConvMaxTaps = 63;

}  // namespace lococo
