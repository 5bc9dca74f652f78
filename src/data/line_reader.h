// Lines of a plain or zstd-compressed file, without ever holding more than one line and one buffer.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

namespace lococo {

/// Reads `path` line by line; a name that ends in ".zst" is decompressed on the way. Throws
/// UserError naming the file for a file that cannot be read, a damaged or cut zstd stream, and a
/// line above `max_line_bytes`.
class LineReader {
 public:
  explicit LineReader(const std::string& path, uint64_t max_line_bytes = uint64_t{1} << 30);
  ~LineReader();
  LineReader(const LineReader&) = delete;
  LineReader& operator=(const LineReader&) = delete;

  /// The next line without its newline; false at the end of the file.
  bool next(std::string* line);

  int64_t line_number() const;   ///< of the line that next() gave last; the first is 1
  uint64_t line_offset() const;  ///< its first byte in the (decompressed) text

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace lococo
