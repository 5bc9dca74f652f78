// The bytes of a plain or zstd-compressed text, without ever holding more than a buffer.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

namespace lococo {

/// Reads `path` from its beginning; a name that ends in ".zst" is decompressed on the way. Throws
/// UserError naming the file for what is not a regular file, a damaged or cut zstd stream or one
/// that asks for a window above 2 GiB; std::bad_alloc where such a window does not fit into memory.
class TextFile {
 public:
  explicit TextFile(const std::string& path);
  ~TextFile();
  TextFile(const TextFile&) = delete;
  TextFile& operator=(const TextFile&) = delete;

  /// Up to `num_bytes` bytes of the text; 0 at its end alone.
  size_t read(char* out, size_t num_bytes);

  const std::string& path() const;
  uint64_t bytes_read() const;  ///< of the file as it lies on the disk

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace lococo
