// Lines of a plain or zstd-compressed file, without ever holding more than one line and one buffer.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

namespace lococo {

/// The longest line; a longer one is hardly a record, and tokenising takes many times its bytes.
inline constexpr uint64_t kLongestLine = uint64_t{256} << 20;

/// Reads `path`, as TextFile does, line by line. Throws UserError as that; with the line's number
/// for a line above `max_line_bytes` or one that does not fit into memory.
class LineReader {
 public:
  explicit LineReader(const std::string& path, uint64_t max_line_bytes = kLongestLine);
  ~LineReader();
  LineReader(const LineReader&) = delete;
  LineReader& operator=(const LineReader&) = delete;

  /// The next line without its newline; false at the end of the file.
  bool next(std::string* line);

  int64_t line_number() const;   ///< of the line that next() gave last; the first is 1
  uint64_t line_offset() const;  ///< its first byte in the (decompressed) text
  uint64_t bytes_read() const;   ///< of the file as it lies on the disk

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace lococo
