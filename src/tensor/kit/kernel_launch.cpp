#include "tensor/kit/kernel_launch.h"

#ifdef LOCOCO_WITH_CUDA

#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>

namespace lococo {

void launch_on(const torch::Tensor& tensor, c10::function_ref<void(CUstream_st*)> launch) {
  const c10::cuda::CUDAGuard on_device(tensor.device());
  launch(c10::cuda::getCurrentCUDAStream().stream());
  C10_CUDA_KERNEL_LAUNCH_CHECK();
}

}  // namespace lococo

#endif  // LOCOCO_WITH_CUDA
