// A lock on a folder: held by one process at a time, gone with the process however it ends.
#pragma once

#include <string>
#include <utility>

namespace lococo {

/// Owns an open file and its advisory lock (flock).
class FileLock {
 public:
  FileLock() = default;
  explicit FileLock(int descriptor) : descriptor_(descriptor) {}
  ~FileLock();
  FileLock(FileLock&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}
  FileLock& operator=(FileLock&& other) noexcept {
    std::swap(descriptor_, other.descriptor_);
    return *this;
  }

  bool held() const { return descriptor_ >= 0; }

 private:
  int descriptor_ = -1;
};

/// Takes FOLDER/.lock for this process and writes its number there; makes the folder where it is
/// missing. Throws UserError naming the process that has it already. What a killed process left is
/// no obstacle. On a file system without locks a warning is logged and nothing is held.
FileLock lock_output(const std::string& folder);

enum class LockWait { kNo, kYes };

/// Locks the folder itself. Not held when another process has it (and kNo), when the folder is gone
/// by then, or on a file system without locks.
FileLock lock_folder(const std::string& folder, LockWait wait);

}  // namespace lococo
