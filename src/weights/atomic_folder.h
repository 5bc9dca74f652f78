// A folder that appears under its name only when it is complete.
#pragma once

#include <cstdint>
#include <string>

namespace lococo {

/// Files are written into path() (a hidden sibling, ".tmp-NAME"); commit() syncs the folder and
/// renames it. Without a commit the destructor removes it. Every error is a UserError.
class AtomicFolder {
 public:
  /// Creates the parent folders; what an earlier run left half-written under the hidden name is
  /// removed.
  explicit AtomicFolder(const std::string& final_path);
  ~AtomicFolder();
  AtomicFolder(const AtomicFolder&) = delete;
  AtomicFolder& operator=(const AtomicFolder&) = delete;

  const std::string& path() const { return temporary_; }

  /// Replaces a folder that already has the final name.
  void commit();

 private:
  std::string final_;
  std::string temporary_;
  bool committed_ = false;
};

/// Throws UserError unless the file system of `folder` has `num_bytes` free; `what` is to be
/// written.
void require_free_space(const std::string& folder, int64_t num_bytes, const std::string& what);

}  // namespace lococo
