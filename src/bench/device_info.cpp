#include "bench/device_info.h"

#include <ATen/Context.h>
#include <ATen/detail/CUDAHooksInterface.h>
#include <torch/version.h>

#ifdef LOCOCO_WITH_CUDA
#include <cuda_runtime_api.h>
#endif

namespace lococo {
namespace {

std::string gpu_name(torch::Device device) {
#ifdef LOCOCO_WITH_CUDA
  cudaDeviceProp properties{};
  if (cudaGetDeviceProperties(&properties, device.index()) == cudaSuccess) return properties.name;
#endif
  return device.str();
}

}  // namespace

DeviceInfo describe_device(torch::Device device, int64_t threads) {
  DeviceInfo info;
  info.name = device.is_cuda() ? gpu_name(device) : device.str();
  info.torch = TORCH_VERSION;
  info.threads = threads;
  if (!device.is_cuda()) return info;
  const auto& hooks = at::detail::getCUDAHooks();
  if (hooks.hasCUDART()) {
    const long version = hooks.versionCUDART();  // 13000 for 13.0
    info.cuda = std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10);
  }
  if (hooks.hasCuDNN()) {
    const long version = hooks.versionRuntimeCuDNN();  // 91300 for 9.13.0
    info.cudnn = std::to_string(version / 10000) + "." + std::to_string(version / 100 % 100) + "." +
                 std::to_string(version % 100);
  }
  return info;
}

}  // namespace lococo
