#include "core/build_info.h"

#include "build_info_values.h"

namespace lococo {

std::string_view git_revision() { return LOCOCO_BUILD_REVISION; }

std::string build_description() {
  const std::string cuda = LOCOCO_BUILD_CUDA;
  std::string line = "LoCoCo-Torch " LOCOCO_BUILD_VERSION " (" LOCOCO_BUILD_REVISION
                     "), LibTorch " LOCOCO_BUILD_TORCH ", ";
  line += cuda.empty() ? "cpu only" : "CUDA " + cuda;
  return line + ", " LOCOCO_BUILD_TYPE;
}

}  // namespace lococo
