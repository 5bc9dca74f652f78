// For tests that need a GPU.
#pragma once

#include <torch/cuda.h>

#include "dist/communicator.h"
#include "tests/support/catch.h"
#include "tests/support/tensors.h"

namespace lococo::testing {

inline const torch::Device kGpu(torch::kCUDA, 0);

/// Skips the test case on a machine without a CUDA device; sets up the first one as the tools do.
inline void require_cuda() {
  if (!torch::cuda::is_available()) SKIP("this machine has no CUDA device");
  pick_device(DistributedConfig{}, /*local_rank=*/0);
}

/// normal() on the GPU.
inline torch::Tensor on_gpu(at::IntArrayRef sizes, uint64_t seed,
                            torch::ScalarType dtype = torch::kBFloat16) {
  return normal(sizes, seed, dtype).to(torch::kCUDA);
}

/// The same as a leaf that requires its gradient.
inline torch::Tensor leaf_on_gpu(at::IntArrayRef sizes, uint64_t seed, torch::ScalarType dtype) {
  return on_gpu(sizes, seed, dtype).requires_grad_(true);
}

}  // namespace lococo::testing
