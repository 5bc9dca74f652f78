// The precision inside: what sums and statistics are computed in, whatever the inputs are stored
// in.
#pragma once

#include <torch/types.h>

namespace lococo {

/// float64 for float64 (gradient checks need it), float32 for everything else.
inline torch::ScalarType wide_of(torch::ScalarType dtype) {
  return dtype == torch::kFloat64 ? torch::kFloat64 : torch::kFloat32;
}

inline torch::ScalarType wide_of(const torch::Tensor& x) { return wide_of(x.scalar_type()); }

}  // namespace lococo
