// For tests that need a GPU.
#pragma once

#include <torch/cuda.h>

#include "tests/support/catch.h"

namespace lococo::testing {

/// Skips the test case on a machine without a CUDA device.
inline void require_cuda() {
  if (!torch::cuda::is_available()) SKIP("this machine has no CUDA device");
}

}  // namespace lococo::testing
