// The CUDA kernel of soft_keep()'s backward pass: as soft_keep_kernel.h.
#pragma once

#include "soft/soft_keep_kernel.h"

namespace lococo {

/// d_score and d_massed [X, S] from d_log_keep [X, S]. d_massed may be null when shape.massed is 0.
/// The same inputs give the same bits.
void launch_soft_keep_gradient(const float* score, const float* massed, const float* thresholds,
                               const float* d_log_keep, float* d_score, float* d_massed,
                               const SoftKeepShape& shape, CUstream_st* stream);

}  // namespace lococo
