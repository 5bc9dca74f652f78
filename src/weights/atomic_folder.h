// A folder that appears under its name only when it is complete.
#pragma once

#include <cstdint>
#include <string>

#include "weights/folder_lock.h"

namespace lococo {

/// The same folder's name without slashes (and "/.") behind it, where a new folder has none.
std::string folder_name(std::string path);

/// What a commit does when the name is taken by then.
enum class ExistingFolder { kReplace, kRefuse };

/// Files are written into path(), a hidden and locked sibling that no other process has
/// (".tmp-NAME.PID-N"); commit() syncs the folder and renames it. Without a commit the destructor
/// removes it. Every error is a UserError.
class AtomicFolder {
 public:
  /// Creates the parent folders. What killed processes left half-written for this name is removed;
  /// the hidden folder of a process that still writes is left alone.
  explicit AtomicFolder(const std::string& final_path,
                        ExistingFolder existing = ExistingFolder::kReplace);
  ~AtomicFolder();
  AtomicFolder(const AtomicFolder&) = delete;
  AtomicFolder& operator=(const AtomicFolder&) = delete;

  const std::string& path() const { return temporary_; }

  /// Gives the folder its name.
  void commit();

 private:
  void make_temporary();

  std::string final_;
  ExistingFolder existing_;
  std::string temporary_;
  FileLock lock_;
  bool committed_ = false;
};

/// Throws UserError unless the file system of `folder` has `num_bytes` free; `what` is to be
/// written.
void require_free_space(const std::string& folder, int64_t num_bytes, const std::string& what);

}  // namespace lococo
