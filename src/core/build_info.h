#pragma once

#include <string>
#include <string_view>

namespace lococo {

/// Git revision the binary was built from: 12 hexadecimal digits, followed by "-dirty" when the
/// sources had uncommitted changes, or "unknown" when they were not in a git checkout.
std::string_view git_revision();

/// One line for `--version`: project, revision, LibTorch, CUDA ("cpu only" without), build type.
std::string build_description();

}  // namespace lococo
