// For tests that need a GPU.
#pragma once

#include <torch/cuda.h>

#include "dist/communicator.h"
#include "tests/support/catch.h"

namespace lococo::testing {

/// Skips the test case on a machine without a CUDA device; sets up the first one as the tools do.
inline void require_cuda() {
  if (!torch::cuda::is_available()) SKIP("this machine has no CUDA device");
  pick_device(DistributedConfig{}, /*local_rank=*/0);
}

}  // namespace lococo::testing
