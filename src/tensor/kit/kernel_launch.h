// How a wrapper launches one of the project's CUDA kernels.
#pragma once

#include <c10/util/FunctionRef.h>
#include <torch/types.h>

struct CUstream_st;  // cudaStream_t without CUDA's headers

namespace lococo {

/// Calls launch(stream) while the GPU of `tensor` is the current device, with that GPU's current
/// stream, and throws c10::Error when a launch was refused. Whichever device was current before is
/// so again. Waits for nothing, and can be captured in a CUDA graph. Only where there is CUDA.
void launch_on(const torch::Tensor& tensor, c10::function_ref<void(CUstream_st*)> launch);

}  // namespace lococo
