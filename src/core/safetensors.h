// The safetensors file format (8-byte length, JSON header, bytes), read through mmap with every
// bound checked.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace lococo {

enum class FileDType {
  kBool,
  kUint8,
  kInt8,
  kInt16,
  kUint16,
  kInt32,
  kUint32,
  kInt64,
  kUint64,
  kFloat16,
  kBFloat16,
  kFloat32,
  kFloat64
};

size_t bytes_of(FileDType dtype);
const char* name_of(FileDType dtype);  ///< as in the format: "F32", "BF16", ...

/// One tensor of a mapped file; `data` points into the mapping and lives as long as the
/// SafetensorsFile.
struct TensorView {
  FileDType dtype = FileDType::kFloat32;
  std::vector<int64_t> shape;
  const std::byte* data = nullptr;
  size_t num_bytes = 0;
};

/// A read-only mapped file. Throws UserError naming the file for anything that is not exactly the
/// format: short file, header too long or not JSON, unknown dtype, shape and byte range that
/// disagree, ranges that overlap, leave a gap or pass the end, duplicate names.
class SafetensorsFile {
 public:
  explicit SafetensorsFile(const std::string& path);
  ~SafetensorsFile();
  SafetensorsFile(SafetensorsFile&&) noexcept;
  SafetensorsFile& operator=(SafetensorsFile&&) noexcept;

  /// Throws UserError when the file has been written to since it was opened: call it when what was
  /// read is to be trusted.
  void check_unchanged() const;

  const std::string& path() const;
  const std::map<std::string, TensorView>& tensors() const;
  const std::map<std::string, std::string>& metadata() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// Parses a header held in memory (`bytes` = whole file); the mapped reader uses it, and so does
/// the fuzzer.
std::map<std::string, TensorView> parse_safetensors(const std::byte* bytes, size_t num_bytes,
                                                    const std::string& name,
                                                    std::map<std::string, std::string>* metadata);

}  // namespace lococo
