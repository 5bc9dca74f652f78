// What the kernels of soft_keep() compute, on one core of a CPU and in double precision. The same
// inputs give the same bits.
#pragma once

#include "soft/soft_keep_kernel.h"

namespace lococo {

/// launch_soft_keep(), for any number of slots.
void soft_keep_on_cpu(const float* score, const float* massed, float* log_keep, float* thresholds,
                      const SoftKeepShape& shape);

/// launch_soft_keep_gradient(), for any number of slots.
void soft_keep_gradient_on_cpu(const float* score, const float* massed, const float* thresholds,
                               const float* d_log_keep, float* d_score, float* d_massed,
                               const SoftKeepShape& shape);

}  // namespace lococo
