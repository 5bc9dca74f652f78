// The sequences of one forward and backward pass, and what their targets are.
#pragma once

#include <torch/types.h>

#include <cstdint>

#include "core/target_kind.h"

namespace lococo {

struct Batch {
  /// int64 [B, T + 1] on the model's device: T inputs and T targets, one further on.
  torch::Tensor tokens_BT;
  /// uint8 [B, T] of TargetKind for the targets tokens[1..T], on the device of the tokens;
  /// undefined: every target is kText.
  torch::Tensor kinds_BT = {};
};

}  // namespace lococo
