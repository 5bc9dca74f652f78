#include "core/safetensors.h"

#include <cstring>
#include <ctime>
#include <filesystem>
#include <stdexcept>
#include <string>

#include "core/files.h"
#include "core/safetensors_write.h"
#include "tests/support/catch.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/user_error.h"

using lococo::FileDType;
using lococo::SafetensorsFile;
using lococo::TensorToWrite;
using lococo::testing::TemporaryFolder;
using lococo::testing::user_error_of;

namespace {

/// A file image: the length, `header`, `data_bytes` bytes.
std::string image(const std::string& header, size_t data_bytes) {
  std::string bytes(8, '\0');
  const uint64_t length = header.size();
  std::memcpy(bytes.data(), &length, 8);
  return bytes + header + std::string(data_bytes, 'd');
}

std::string error_of(const std::string& bytes) {
  return user_error_of([&] {
    lococo::parse_safetensors(reinterpret_cast<const std::byte*>(bytes.data()), bytes.size(),
                              "w.safetensors", nullptr);
  });
}

std::string tensor(const std::string& name, const std::string& dtype, const std::string& shape,
                   const std::string& offsets) {
  return "\"" + name + "\":{\"dtype\":\"" + dtype + "\",\"shape\":" + shape +
         ",\"data_offsets\":" + offsets + "}";
}

struct Malformed {
  std::string bytes;
  std::string part;  ///< of the message
};

std::string f32(const std::string& name, const std::string& shape, const std::string& offsets) {
  return tensor(name, "F32", shape, offsets);
}

std::vector<Malformed> malformed_files() {
  std::string long_header = image("{}", 0);
  const uint64_t too_long = 100'000'001;
  std::memcpy(long_header.data(), &too_long, 8);
  const std::string good = image("{" + f32("a", "[2]", "[0,8]") + "}", 8);
  return {
      {"", "shorter than the 8-byte header length"},
      {"\x02\0\0", "shorter than the 8-byte header length"},
      {image("", 0), "does not begin with '{'"},
      {image(" {}", 0), "does not begin with '{'"},
      {image("[]", 0), "does not begin with '{'"},
      {image("{]", 0), "not JSON (at byte 2)"},
      {image("{\"a\":\"\xff\"}", 0), "not JSON"},
      {long_header, "100000001 bytes, more than 100 MB"},
      {good.substr(0, 20), "ends inside its header (20 bytes in all)"},
      {good.substr(0, good.size() - 1), "its bytes end at 8, but the file holds only 7"},
      {image("{" + f32("a", "[2]", "[0,8]") + "}", 9), "1 bytes after the last tensor"},
      {image("{}", 3), "3 bytes after the last tensor"},
      {image("{" + f32("a", "[2]", "[0,8]") + "," + f32("a", "[2]", "[8,16]") + "}", 16),
       "the name \"a\" occurs twice"},
      {image("{" + f32("a", "[2]", "[0,8]") + "," + f32("b", "[2]", "[4,12]") + "}", 12),
       "tensor \"b\" overlaps another one"},
      {image("{" + f32("a", "[2]", "[0,8]") + "," + f32("b", "[2]", "[0,8]") + "}", 8),
       "overlaps another one"},
      {image("{" + f32("a", "[2]", "[0,8]") + "," + f32("b", "[1]", "[12,16]") + "}", 16),
       "gap before the bytes of tensor \"b\""},
      {image("{" + f32("a", "[2]", "[4,12]") + "}", 12), "gap before the bytes of tensor \"a\""},
      {image("{" + f32("a", "[3]", "[0,8]") + "}", 8), "its shape needs 12 bytes, but it has 8"},
      {image("{" + f32("a", "[2]", "[8,0]") + "}", 8), "its bytes end before they begin"},
      {image("{" + f32("a", "[2]", "[-8,0]") + "}", 8), "not a pair of byte positions"},
      {image("{" + f32("a", "[2]", "[0,8,9]") + "}", 8), "not a pair of byte positions"},
      {image("{" + f32("a", "[2]", "[0,8.0]") + "}", 8), "not a pair of byte positions"},
      {image("{" + f32("a", "[2]", "8") + "}", 8), "not a pair of byte positions"},
      {image("{" + f32("a", "[-2]", "[0,8]") + "}", 8), "shape is not a list of sizes"},
      {image("{" + f32("a", "[2.0]", "[0,8]") + "}", 8), "shape is not a list of sizes"},
      {image("{" + f32("a", "[18446744073709551615]", "[0,8]") + "}", 8),
       "shape is not a list of sizes"},
      {image("{" + f32("a", "2", "[0,8]") + "}", 8), "shape is not a list"},
      {image("{" + f32("a", "[4294967296,4294967296]", "[0,8]") + "}", 8), "shape is too large"},
      {image("{" + tensor("a", "F8_E4M3", "[8]", "[0,8]") + "}", 8), "dtype \"F8_E4M3\""},
      {image("{\"a\":{\"dtype\":4,\"shape\":[2],\"data_offsets\":[0,8]}}", 8),
       "dtype is not a string"},
      {image("{\"a\":{\"shape\":[2],\"data_offsets\":[0,8]}}", 8), "does not have exactly dtype"},
      {image("{\"a\":[]}", 0), "does not have exactly dtype"},
      {image("{\"__metadata__\":[]}", 0), "__metadata__ is not an object"},
      {image("{\"__metadata__\":{\"k\":1}}", 0), "entry \"k\" is not a string"},
      {image("{\"a\":[[[[[[]]]]]]}", 0), "does not have exactly dtype"},
      {image("{\"a\":" + std::string(300'000, '['), 0), "nested more than 100 levels deep"},
  };
}

std::string read_all(const std::string& path) { return lococo::read_text_file(path); }

const std::byte* bytes(const void* data) { return static_cast<const std::byte*>(data); }

}  // namespace

TEST_CASE("every malformed safetensors file is refused with its reason", "[core][safetensors]") {
  for (const Malformed& file : malformed_files()) {
    const std::string line = error_of(file.bytes);
    CHECK_CONTAINS(line, "w.safetensors: not a valid safetensors file: ");
    CHECK_CONTAINS(line, file.part);
  }
}

TEST_CASE("a pointer of Git LFS is told from a broken file", "[core][safetensors]") {
  const std::string pointer =
      "version https://git-lfs.github.com/spec/v1\noid sha256:0123456789abcdef\nsize 269060552\n";
  CHECK_CONTAINS(error_of(pointer), "w.safetensors: is a pointer of Git LFS");
  CHECK_CONTAINS(error_of(pointer), "git lfs pull");
  CHECK_CONTAINS(error_of("version"), "shorter than the 8-byte header length");
}

TEST_CASE("every cut of a safetensors file is refused", "[core][safetensors]") {
  const std::string whole =
      image("{" + f32("a", "[2]", "[0,8]") + "," + tensor("b", "U8", "[3]", "[8,11]") + "}", 11);
  for (size_t length = 0; length < whole.size(); ++length) {
    CHECK_CONTAINS(error_of(whole.substr(0, length)), "not a valid safetensors file");
  }
}

TEST_CASE("300,000 tensors are written and read in seconds", "[core][safetensors]") {
  const TemporaryFolder folder;
  constexpr int kTensors = 300'000;
  std::vector<TensorToWrite> tensors(kTensors);
  for (int i = 0; i < kTensors; ++i) {
    tensors[i] = {"tensor." + std::to_string(i), FileDType::kFloat32, {0}, nullptr};
  }
  const std::clock_t start = std::clock();  // of the processor: others may use it too
  lococo::write_safetensors(folder / "many.safetensors", tensors);
  CHECK(SafetensorsFile(folder / "many.safetensors").tensors().size() == kTensors);
  const auto seconds = static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
  CHECK(seconds < 20.0);  // 2; quadratic time would be many minutes
}

TEST_CASE("control characters of a header do not break the message", "[core][safetensors]") {
  const std::string line = error_of(image("{" + f32("a\\n\\u0007b", "[3]", "[0,8]") + "}", 8));
  CHECK_CONTAINS(line, "tensor \"a  b\"");
}

TEST_CASE("every dtype, scalars and empty tensors make the round trip", "[core][safetensors]") {
  const TemporaryFolder folder;
  const std::string path = folder / "w.safetensors";
  const FileDType dtypes[] = {FileDType::kBool,    FileDType::kUint8,    FileDType::kInt8,
                              FileDType::kInt16,   FileDType::kUint16,   FileDType::kInt32,
                              FileDType::kUint32,  FileDType::kInt64,    FileDType::kUint64,
                              FileDType::kFloat16, FileDType::kBFloat16, FileDType::kFloat32,
                              FileDType::kFloat64};
  std::string content(3 * 5 * 8, '\0');
  for (size_t i = 0; i < content.size(); ++i) content[i] = static_cast<char>(i * 7 + 1);
  std::vector<TensorToWrite> tensors;
  for (const FileDType dtype : dtypes) {
    tensors.push_back(
        {std::string("t.") + lococo::name_of(dtype), dtype, {3, 5}, bytes(content.data())});
  }
  tensors.push_back({"scalar", FileDType::kInt64, {}, bytes(content.data())});
  tensors.push_back({"empty", FileDType::kFloat32, {0, 4}, nullptr});
  tensors.push_back(
      {"a \"name\" \\ with \u00fcml\u00e4uts", FileDType::kUint8, {1}, bytes(content.data())});
  lococo::write_safetensors(path, tensors, {{"format", "pt"}, {"note", "two\nlines"}});

  const SafetensorsFile file(path);
  CHECK(file.path() == path);
  CHECK(file.metadata().at("format") == "pt");
  CHECK(file.metadata().at("note") == "two\nlines");
  REQUIRE(file.tensors().size() == tensors.size());
  for (const TensorToWrite& written : tensors) {
    INFO(written.name);
    const lococo::TensorView& read = file.tensors().at(written.name);
    CHECK(read.dtype == written.dtype);
    CHECK(read.shape == written.shape);
    size_t expected = lococo::bytes_of(written.dtype);
    for (const int64_t size : written.shape) expected *= static_cast<size_t>(size);
    REQUIRE(read.num_bytes == expected);
    if (expected > 0) CHECK(std::memcmp(read.data, content.data(), expected) == 0);
    CHECK(reinterpret_cast<uintptr_t>(read.data) % lococo::bytes_of(read.dtype) == 0);
  }
}

TEST_CASE("the same tensors give the same bytes, and no metadata is possible",
          "[core][safetensors]") {
  const TemporaryFolder folder;
  const float value = 0.5f;
  const std::vector<TensorToWrite> tensors = {{"a", FileDType::kFloat32, {1}, bytes(&value)}};
  lococo::write_safetensors(folder / "a", tensors, {});
  lococo::write_safetensors(folder / "b", tensors, {});
  CHECK(read_all(folder / "a") == read_all(folder / "b"));
  CHECK(SafetensorsFile(folder / "a").metadata().empty());
  lococo::write_safetensors(folder / "none", {});
  CHECK(SafetensorsFile(folder / "none").tensors().empty());
}

TEST_CASE("a moved safetensors file keeps its mapping", "[core][safetensors]") {
  const TemporaryFolder folder;
  const float value = 0.5f;
  lococo::write_safetensors(folder / "a", {{"a", FileDType::kFloat32, {1}, bytes(&value)}});
  SafetensorsFile first(folder / "a");
  const SafetensorsFile second(std::move(first));
  float read = 0.0f;
  std::memcpy(&read, second.tensors().at("a").data, sizeof(read));
  CHECK(read == value);
}

TEST_CASE("a safetensors file that is missing, a folder or empty names its path",
          "[core][safetensors]") {
  const TemporaryFolder folder;
  CHECK_CONTAINS(user_error_of([&] { SafetensorsFile file(folder / "none"); }),
                 folder / "none" + ": cannot read the file: No such file");
  CHECK_CONTAINS(user_error_of([&] { SafetensorsFile file(folder.path()); }),
                 "is not a regular file");
  lococo::write_text_file(folder / "empty", "");
  CHECK_CONTAINS(user_error_of([&] { SafetensorsFile file(folder / "empty"); }),
                 folder / "empty" + ": not a valid safetensors file: it is shorter");
}

TEST_CASE("a safetensors file that is written to while it is open is noticed",
          "[core][safetensors]") {
  const TemporaryFolder folder;
  const float value = 0.5f;
  lococo::write_safetensors(folder / "a", {{"a", FileDType::kFloat32, {1}, bytes(&value)}});
  const SafetensorsFile file(folder / "a");
  file.check_unchanged();
  const auto later = std::filesystem::last_write_time(folder / "a") + std::chrono::seconds(1);
  std::filesystem::last_write_time(folder / "a", later);
  CHECK_CONTAINS(user_error_of([&] { file.check_unchanged(); }), "changed while it was read");
  std::filesystem::resize_file(folder / "a", 10);
  CHECK_CONTAINS(user_error_of([&] { file.check_unchanged(); }), "its length changed");
}

TEST_CASE("writing what cannot be written is a mistake of the program", "[core][safetensors]") {
  const TemporaryFolder folder;
  const std::string path = folder / "w";
  const float value = 0.5f;
  const TensorToWrite good = {"a", FileDType::kFloat32, {1}, bytes(&value)};
  TensorToWrite negative = good;
  negative.shape = {-1};
  TensorToWrite huge = good;
  huge.shape = {int64_t{1} << 62, 4};
  TensorToWrite no_data = good;
  no_data.data = nullptr;
  TensorToWrite metadata = good;
  metadata.name = "__metadata__";
  CHECK_THROWS_AS(lococo::write_safetensors(path, {negative}), std::logic_error);
  CHECK_THROWS_AS(lococo::write_safetensors(path, {huge}), std::logic_error);
  CHECK_THROWS_AS(lococo::write_safetensors(path, {no_data}), std::logic_error);
  CHECK_THROWS_AS(lococo::write_safetensors(path, {metadata}), std::logic_error);
  CHECK_THROWS_AS(lococo::write_safetensors(path, {good, good}), std::logic_error);
  CHECK(std::filesystem::is_empty(folder.path()));
}
