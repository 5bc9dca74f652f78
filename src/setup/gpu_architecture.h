// Whether a GPU can run the kernels of this build.
#pragma once

#include <torch/types.h>

#include <string>

namespace lococo {

/// Why kernels built for `built`, as TORCH_CUDA_ARCH_LIST has it ("9.0;10.0+PTX"), do not run on a
/// GPU of compute capability `major`.`minor`; empty where they do. Machine code runs on the same
/// major capability from its minor one on, that of "9.0a" on 9.0 alone; with +PTX a driver compiles
/// for whatever came later.
std::string architecture_problem(const std::string& built, int major, int minor);

/// Throws UserError for a GPU that lacks this build's kernels, which would fail one by one. Nothing
/// for a CPU, or a build without kernels.
void check_architecture(torch::Device device);

}  // namespace lococo
