#include "setup/slow_paths.h"

#include <string>

#include "core/log.h"
#include "model/parameter_kind.h"
#include "model/parameter_list.h"
#include "tensor/conv/time_conv.h"
#include "tensor/frozen/fp8.h"

namespace lococo {
namespace {

/// Where 8 bits save memory alone, because products make every matrix dense.
void note_slow_fp8(const Config& config, const ModelShape& shape, torch::Device device) {
  if (config.model.base_precision != BasePrecision::kFp8) return;
  std::string why;
  if (!fp8_multiplies_on(device)) {
    why = device.str() + " multiplies no 8-bit numbers";
  } else if (config.model.dtype != DType::kBFloat16) {
    why = "model.dtype is not bfloat16";
  } else {
    for (const auto& [name, tensor] : list_parameters(shape, CacheConfig(), {})) {
      const bool odd = has_base_precision(kind_of_parameter(name)) &&
                       (tensor.size(0) % kFp8SizeStep != 0 || tensor.size(1) % kFp8SizeStep != 0);
      if (odd) why = "the sizes of " + name + " are not multiples of 16";
    }
  }
  if (why.empty()) return;
  log_info("model.base_precision fp8: " + why + "; products make such a matrix dense each time");
}

/// Most CPUs compute it by way of float32.
void note_slow_bfloat16(const Config& config, torch::Device device) {
  if (!device.is_cpu() || config.model.dtype != DType::kBFloat16) return;
  log_warn(
      "model.dtype: bfloat16 takes several times as long as float32 on most CPUs; use "
      "model.dtype=float32 if there is memory for it");
}

/// Where a GPU lacks what the project's kernels for convolutions are made of.
void note_library_convolutions(const Config& config, torch::Device device) {
  if (!config.cache.has_convs() || config.model.dtype != DType::kBFloat16) return;
  if (!device.is_cuda() || time_conv_has_kernels(device)) return;
  log_info(device.str() + " runs the library's convolutions: the project's are for compute " +
           "capability 9.0");
}

}  // namespace

void note_slow_paths(const Config& config, const ModelShape& shape, torch::Device device) {
  note_slow_bfloat16(config, device);
  note_slow_fp8(config, shape, device);
  note_library_convolutions(config, device);
}

}  // namespace lococo
