// Whether tensors hold NaN or infinity.
#pragma once

#include <torch/types.h>

#include <cstddef>
#include <optional>
#include <vector>

namespace lococo {

/// The place of the first tensor that holds a value that is not finite; nullopt when all are. One
/// reduction for each tensor on its own device and one wait for all of them; only when something is
/// wrong are they looked at one by one. Floating point of any dtype.
std::optional<size_t> first_non_finite(const std::vector<torch::Tensor>& tensors);

}  // namespace lococo
