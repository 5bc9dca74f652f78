// What Git leaves in place of a large file that was not fetched.
#pragma once

#include <string>
#include <string_view>

#include "core/error.h"

namespace lococo {

/// Throws UserError for the beginning of a file, or all of it, that is a pointer of Git LFS. `name`
/// is the file's.
inline void refuse_lfs_pointer(std::string_view content, const std::string& name) {
  if (!content.starts_with("version https://git-lfs")) return;
  throw UserError(name +
                  ": is a pointer of Git LFS, not the file itself; run: git lfs install && git lfs "
                  "pull, in the folder that was cloned");
}

}  // namespace lococo
