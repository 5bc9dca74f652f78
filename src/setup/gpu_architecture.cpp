#include "setup/gpu_architecture.h"

#include <algorithm>
#include <cctype>
#include <sstream>

#include "core/error.h"

#ifdef LOCOCO_WITH_CUDA
#include <ATen/cuda/CUDAContext.h>
#endif

namespace lococo {
namespace {

/// "9.0", "9.0a", "9.0+PTX": what CudaCompiler.cmake lets through.
struct Architecture {
  explicit Architecture(const std::string& text) {
    char dot = 0;
    std::istringstream(text) >> major >> dot >> minor;
    with_ptx = text.find("+PTX") != std::string::npos;
    is_exact = std::isalpha(static_cast<unsigned char>(text[text.find(dot) + 2])) != 0;
  }

  bool runs_on(int of_major, int of_minor) const {
    if (is_exact) return of_major == major && of_minor == minor;
    if (of_major == major && of_minor >= minor) return true;
    return with_ptx && of_major > major;
  }

  int major = 0, minor = 0;
  bool with_ptx = false, is_exact = false;
};

}  // namespace

std::string architecture_problem(const std::string& built, int major, int minor) {
  std::string list = built;
  std::replace(list.begin(), list.end(), ';', ' ');
  std::istringstream words(list);
  for (std::string word; words >> word;)
    if (Architecture(word).runs_on(major, minor)) return "";
  const std::string capability = std::to_string(major) + "." + std::to_string(minor);
  return "has compute capability " + capability + ", and this build's kernels are for " + built +
         "; build with -DTORCH_CUDA_ARCH_LIST=" + capability + ", or set distributed.device: cpu";
}

void check_architecture([[maybe_unused]] torch::Device device) {
#ifdef LOCOCO_WITH_CUDA
  if (!device.is_cuda()) return;
  const auto* properties = at::cuda::getDeviceProperties(device.index());
  const std::string problem =
      architecture_problem(LOCOCO_CUDA_ARCHITECTURES, properties->major, properties->minor);
  if (!problem.empty())
    throw UserError("distributed.device: " + device.str() + " (" + properties->name + ") " +
                    problem);
#endif
}

}  // namespace lococo
