// A read-only memory mapping of a whole file, which others may change while it is read.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "core/files.h"

namespace lococo {

/// Maps `path` while the object lives. Throws UserError for anything but a regular file that can be
/// opened; an empty file has no bytes.
///
/// When somebody cuts the file short, touching what is gone raises SIGBUS, which no exception can
/// answer: the process then ends with exit code 2 and the line "TOOL: error: PATH: ..." on stderr.
/// A SIGBUS at any other address has its usual effect.
class MappedFile {
 public:
  explicit MappedFile(const std::string& path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  const std::string& path() const { return file_.path(); }
  const std::byte* data() const { return data_; }
  size_t size() const { return size_; }

  /// The time of the file's last change in ns; throws UserError when its length is no longer that
  /// of the mapping. One system call.
  int64_t modified_ns() const;

 private:
  InputFile file_;
  size_t size_ = 0;
  const std::byte* data_ = nullptr;
  void* watch_ = nullptr;  ///< the entry that SIGBUS is answered with
};

}  // namespace lococo
