#include "core/safetensors.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <utility>

#include "core/error.h"
#include "core/json_file.h"
#include "core/lfs_pointer.h"
#include "core/mapped_file.h"

namespace lococo {
namespace {

using Json = nlohmann::json;

constexpr uint64_t kLargestHeader = 100'000'000;  // the limit of the reference implementation
constexpr size_t kLengthBytes = 8;
constexpr const char* kMetadataKey = "__metadata__";
constexpr const char* kInvalid = ": not a valid safetensors file: ";

struct DTypeEntry {
  FileDType dtype;
  const char* name;
  size_t num_bytes;
};

constexpr std::array<DTypeEntry, 13> kDTypes = {{
    {FileDType::kBool, "BOOL", 1},
    {FileDType::kUint8, "U8", 1},
    {FileDType::kInt8, "I8", 1},
    {FileDType::kInt16, "I16", 2},
    {FileDType::kUint16, "U16", 2},
    {FileDType::kInt32, "I32", 4},
    {FileDType::kUint32, "U32", 4},
    {FileDType::kInt64, "I64", 8},
    {FileDType::kUint64, "U64", 8},
    {FileDType::kFloat16, "F16", 2},
    {FileDType::kBFloat16, "BF16", 2},
    {FileDType::kFloat32, "F32", 4},
    {FileDType::kFloat64, "F64", 8},
}};

const DTypeEntry& entry_of(FileDType dtype) {
  for (const DTypeEntry& entry : kDTypes) {
    if (entry.dtype == dtype) return entry;
  }
  throw std::logic_error("safetensors: a dtype without an entry in the table");
}

/// Reads the header of one file; every error names the file.
class HeaderParser {
 public:
  HeaderParser(const std::byte* bytes, size_t num_bytes, const std::string& name)
      : bytes_(bytes), num_bytes_(num_bytes), name_(name) {}

  std::map<std::string, TensorView> parse(std::map<std::string, std::string>* metadata) {
    const Json header = read_header();
    for (const auto& [key, value] : header.items()) {
      if (key == kMetadataKey) {
        read_metadata(value, metadata);
      } else {
        read_tensor(key, value);
      }
    }
    check_ranges();
    return std::move(tensors_);
  }

 private:
  struct Range {
    uint64_t begin;
    uint64_t end;
    const std::string* tensor;
  };

  [[noreturn]] void fail(const std::string& what) const {
    throw UserError(name_ + kInvalid + what);
  }

  Json read_header() {
    refuse_lfs_pointer({reinterpret_cast<const char*>(bytes_), num_bytes_}, name_);
    if (num_bytes_ < kLengthBytes) fail("it is shorter than the 8-byte header length");
    uint64_t length = 0;  // little endian, as every machine that LibTorch runs on
    std::memcpy(&length, bytes_, kLengthBytes);
    if (length > kLargestHeader) {
      fail("its header would take " + std::to_string(length) + " bytes, more than 100 MB");
    }
    if (length > num_bytes_ - kLengthBytes) {
      fail("it ends inside its header (" + std::to_string(num_bytes_) + " bytes in all)");
    }
    data_ = bytes_ + kLengthBytes + length;
    data_bytes_ = num_bytes_ - kLengthBytes - length;
    const char* text = reinterpret_cast<const char*>(bytes_ + kLengthBytes);
    if (length == 0 || text[0] != '{') fail("its header does not begin with '{'");
    return parse_json({text, static_cast<size_t>(length)}, name_ + kInvalid + "its header");
  }

  void read_metadata(const Json& value, std::map<std::string, std::string>* metadata) const {
    if (!value.is_object()) fail("__metadata__ is not an object");
    for (const auto& [key, text] : value.items()) {
      if (!text.is_string()) fail("__metadata__ entry " + quoted_name(key) + " is not a string");
      if (metadata != nullptr) (*metadata)[key] = text.get<std::string>();
    }
  }

  void read_tensor(const std::string& name, const Json& value) {
    const std::string where = "tensor " + quoted_name(name);
    if (!value.is_object() || value.size() != 3 || !value.contains("dtype") ||
        !value.contains("shape") || !value.contains("data_offsets")) {
      fail(where + " does not have exactly dtype, shape and data_offsets");
    }
    TensorView view;
    view.dtype = read_dtype(where, value["dtype"]);
    const uint64_t expected = read_shape(where, value["shape"], &view);
    const Json& offsets = value["data_offsets"];
    if (!offsets.is_array() || offsets.size() != 2 || !offsets[0].is_number_unsigned() ||
        !offsets[1].is_number_unsigned()) {
      fail(where + ": data_offsets is not a pair of byte positions");
    }
    const auto begin = offsets[0].get<uint64_t>();
    const auto end = offsets[1].get<uint64_t>();
    if (begin > end) fail(where + ": its bytes end before they begin");
    if (end > data_bytes_) {
      fail(where + ": its bytes end at " + std::to_string(end) + ", but the file holds only " +
           std::to_string(data_bytes_) + " (was it copied or downloaded in full?)");
    }
    if (end - begin != expected) {
      fail(where + ": its shape needs " + std::to_string(expected) + " bytes, but it has " +
           std::to_string(end - begin));
    }
    view.data = data_ + begin;
    view.num_bytes = static_cast<size_t>(end - begin);
    const auto inserted = tensors_.emplace(name, std::move(view)).first;
    ranges_.push_back({begin, end, &inserted->first});
  }

  FileDType read_dtype(const std::string& where, const Json& value) const {
    if (!value.is_string()) fail(where + ": dtype is not a string");
    const auto& name = value.get_ref<const std::string&>();
    for (const DTypeEntry& entry : kDTypes) {
      if (name == entry.name) return entry.dtype;
    }
    fail(where + ": dtype " + quoted_name(name) + " is not supported");
  }

  /// Fills the shape and returns the bytes that it needs.
  uint64_t read_shape(const std::string& where, const Json& value, TensorView* view) const {
    if (!value.is_array()) fail(where + ": shape is not a list");
    uint64_t total = bytes_of(view->dtype);
    for (const Json& size : value) {
      if (!size.is_number_unsigned() ||
          size.get<uint64_t>() > uint64_t{std::numeric_limits<int64_t>::max()}) {
        fail(where + ": shape is not a list of sizes");
      }
      if (__builtin_mul_overflow(total, size.get<uint64_t>(), &total)) {
        fail(where + ": shape is too large");
      }
      view->shape.push_back(size.get<int64_t>());
    }
    return total;
  }

  void check_ranges() {
    std::sort(ranges_.begin(), ranges_.end(), [](const Range& a, const Range& b) {
      return std::pair(a.begin, a.end) < std::pair(b.begin, b.end);
    });
    uint64_t next = 0;
    for (const Range& range : ranges_) {
      if (range.begin < next)
        fail("tensor " + quoted_name(*range.tensor) + " overlaps another one");
      if (range.begin > next) {
        fail("there is a gap before the bytes of tensor " + quoted_name(*range.tensor));
      }
      next = range.end;
    }
    if (next != data_bytes_) {
      fail(std::to_string(data_bytes_ - next) + " bytes after the last tensor belong to none");
    }
  }

  const std::byte* bytes_;
  size_t num_bytes_;
  std::string name_;
  const std::byte* data_ = nullptr;
  uint64_t data_bytes_ = 0;
  std::map<std::string, TensorView> tensors_;
  std::vector<Range> ranges_;
};

}  // namespace

size_t bytes_of(FileDType dtype) { return entry_of(dtype).num_bytes; }

const char* name_of(FileDType dtype) { return entry_of(dtype).name; }

std::map<std::string, TensorView> parse_safetensors(const std::byte* bytes, size_t num_bytes,
                                                    const std::string& name,
                                                    std::map<std::string, std::string>* metadata) {
  return HeaderParser(bytes, num_bytes, name).parse(metadata);
}

struct SafetensorsFile::Impl {
  explicit Impl(const std::string& path) : file(path), modified_ns(file.modified_ns()) {}

  MappedFile file;
  int64_t modified_ns;
  std::map<std::string, TensorView> tensors;
  std::map<std::string, std::string> metadata;
};

SafetensorsFile::SafetensorsFile(const std::string& path) : impl_(std::make_unique<Impl>(path)) {
  impl_->tensors =
      parse_safetensors(impl_->file.data(), impl_->file.size(), path, &impl_->metadata);
}
SafetensorsFile::~SafetensorsFile() = default;
SafetensorsFile::SafetensorsFile(SafetensorsFile&&) noexcept = default;
SafetensorsFile& SafetensorsFile::operator=(SafetensorsFile&&) noexcept = default;

void SafetensorsFile::check_unchanged() const {
  if (impl_->file.modified_ns() == impl_->modified_ns) return;
  throw UserError(path() + ": the file changed while it was read; run the command again");
}

const std::string& SafetensorsFile::path() const { return impl_->file.path(); }
const std::map<std::string, TensorView>& SafetensorsFile::tensors() const { return impl_->tensors; }
const std::map<std::string, std::string>& SafetensorsFile::metadata() const {
  return impl_->metadata;
}

}  // namespace lococo
