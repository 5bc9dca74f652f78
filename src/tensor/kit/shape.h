// The project's one legend of dimension letters, and the check that keeps shape suffixes honest.
//
//   B batch (sequences)      L query length           S key length: cache + block
//   H query heads            G key-value heads        D head dimension
//   E model width            F feed-forward width     V vocabulary
//   M cache slots            N layers                 R mixed slots (rows of the mixing matrix)
//   K kernel size            C channels
//
// A tensor's name ends in the letters of its axes: q_BHLD, k_BGSD, mass_BGS, hidden_BLE.
#pragma once

#include <torch/types.h>

namespace lococo {

/// Throws (our bug, not the user's) unless `tensor` has exactly the sizes given; -1 accepts any
/// size.
void check_shape(const torch::Tensor& tensor, const char* name, at::IntArrayRef want);

}  // namespace lococo

#define CHECK_SHAPE(tensor, ...) ::lococo::check_shape((tensor), #tensor, {__VA_ARGS__})
