// The CUDA kernels of soft_keep(): raw pointers and a stream, so that the .cu sees no torch header.
//
//   X rows (B * G heads of a batch)    S keys
#pragma once

#include <cstdint>

struct CUstream_st;  // cudaStream_t without CUDA's headers

namespace lococo {

/// Keys that the forward kernel takes: a thread block holds a row in its registers.
inline constexpr int64_t kMaxSoftKeepSlots = 16384;

/// Of a key that is certainly not kept: attention to it is nothing, and it gets no gradient.
inline constexpr double kLeastLogKeep = -30.0;

/// alone + massed < candidates = slots - sinks - local, at most kMaxSoftKeepSlots.
struct SoftKeepShape {
  int64_t rows;       ///< X
  int slots;          ///< S
  int sinks;          ///< first keys, always kept
  int local;          ///< last keys, always kept
  int alone;          ///< how many keys the first gate opens for
  int massed;         ///< and how many more the second
  float temperature;  ///< T > 0
};

/// Numbers that a row's thresholds take: each is the sum of a float32 and a small remainder,
/// because a temperature can be so low that a float32 threshold alone moves the gates visibly.
inline constexpr int kSoftKeepThresholds = 4;

/// log_keep [X, S] of score and massed [X, S], and thresholds [X, 4] for the gradient; all float32
/// and contiguous. massed is not read when shape.massed is 0, nor score when shape.alone is. The
/// same inputs give the same bits.
void launch_soft_keep(const float* score, const float* massed, float* log_keep, float* thresholds,
                      const SoftKeepShape& shape, CUstream_st* stream);

}  // namespace lococo
