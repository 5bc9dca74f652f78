// What training on sequences gives, beside gradients.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <functional>

#include "pass/batch.h"

namespace lococo {

struct PassResult {
  /// Sum over all targets that count of their NLL, in teaching of their weighted divergence:
  /// float32 0-dim on the device, detached.
  torch::Tensor loss_sum;
  int64_t targets = 0;  ///< their number
};

/// What `train_part` gives for the batch's parts of one plan (parts_of_one_plan), in their order,
/// added up.
PassResult sum_over_parts(const Batch& batch,
                          const std::function<PassResult(const Batch&)>& train_part);

}  // namespace lococo
