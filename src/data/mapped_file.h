// A read-only memory mapping of a whole file.
#pragma once

#include <cstddef>
#include <string>

namespace lococo {

/// Maps `path` while the object lives. Throws UserError for a file that cannot be opened; an empty
/// file has no bytes.
class MappedFile {
 public:
  explicit MappedFile(const std::string& path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  const std::byte* data() const { return data_; }
  size_t size() const { return size_; }

 private:
  const std::byte* data_ = nullptr;
  size_t size_ = 0;
};

}  // namespace lococo
