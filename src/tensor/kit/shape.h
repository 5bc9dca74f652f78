// The project's one legend of dimension letters, and the check that keeps shape suffixes honest.
//
//   B batch (sequences)      L query length: a block   S key length: cache + block; rows over time
//   H query heads            G key-value heads         D head dimension
//   E model width            F feed-forward width      V vocabulary
//   M slots that stay        R mixed slots of these    T tokens of a sequence
//   C channels, or the       K kernel size (taps)      O output channels or features
//     capacity of a cache    N layers                  X rows: several axes seen as one (B L, B G)
//
// A tensor's name ends in the letters of its axes: q_BHLD, k_BGSD, mass_BGS, hidden_BLE. A header
// says where it gives a letter another meaning (LoRA's rank R, a product [M, K] x [K, N]).
//
// What every declaration that takes tensors means unless it says otherwise: they lie on one device,
// gradients reach all that require one, and a wrong shape, dtype or device is our own bug and
// throws c10::Error.
#pragma once

#include <torch/types.h>

namespace lococo {

/// Throws (our bug, not the user's) unless `tensor` has exactly the sizes given; -1 accepts any
/// size.
void check_shape(const torch::Tensor& tensor, const char* name, at::IntArrayRef want);

}  // namespace lococo

#define CHECK_SHAPE(tensor, ...) ::lococo::check_shape((tensor), #tensor, {__VA_ARGS__})
