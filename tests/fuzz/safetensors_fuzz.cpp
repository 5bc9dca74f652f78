// Any bytes as a safetensors file: read, or a UserError of one line, and every tensor in bounds.

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>

#include "core/error.h"
#include "core/safetensors.h"

namespace {

/// Reads the input as a series of choices; past its end every choice is 0.
class Choices {
 public:
  Choices(const uint8_t* data, size_t size) : data_(data), size_(size) {}
  bool done() const { return next_ >= size_; }
  size_t below(size_t count) { return done() ? 0 : data_[next_++] % count; }

 private:
  const uint8_t* data_;
  size_t size_;
  size_t next_ = 0;
};

const char* const kSeed =
    "{\"__metadata__\":{\"format\":\"pt\"},"
    "\"a\":{\"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":[0,24]},"
    "\"b.weight\":{\"dtype\":\"BF16\",\"shape\":[4],\"data_offsets\":[24,32]},"
    "\"c\":{\"dtype\":\"U8\",\"shape\":[],\"data_offsets\":[32,33]},"
    "\"d\":{\"dtype\":\"I64\",\"shape\":[0,9],\"data_offsets\":[33,33]}}";

/// What takes the place of a word or joins it: limits of the arithmetic, structure, other names.
const char* const kWords[] = {
    "0",   "1",       "24",       "33",    "-1",   "1e3", "2147483648",   "9223372036854775807",
    "{",   "}",       "[",        "]",     ",",    ":",   "\"",           "18446744073709551615",
    "\"a", "\\u0",    "F64",      "BOOL",  "F8",   "I16", "null",         "18446744073709551616",
    "[]",  "{}",      "dtype",    "shape", "\xff", " ",   "__metadata__", "data_offsets",
    "[[",  "{\"a\":", "\"a\":0,", "1e999"};

bool is_word(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

/// A valid file with a few words of its header replaced, doubled or removed.
std::string mutated_file(Choices choices) {
  std::string header = kSeed;
  const size_t data_bytes = choices.below(2) == 0 ? 33 : choices.below(64);
  const size_t length_error = choices.below(8) == 7 ? choices.below(256) : 0;
  for (int edits = 0; edits < 6 && !choices.done() && !header.empty(); ++edits) {
    size_t begin = (choices.below(256) * 256 + choices.below(256)) % header.size();
    while (begin > 0 && is_word(header[begin - 1]) && is_word(header[begin])) --begin;
    size_t end = begin + 1;
    while (end < header.size() && is_word(header[end]) && is_word(header[begin])) ++end;
    const std::string word = header.substr(begin, end - begin);
    const std::string other = kWords[choices.below(std::size(kWords))];
    switch (choices.below(4)) {
      case 0:
        header.replace(begin, end - begin, other);
        break;
      case 1:
        header.insert(begin, other);
        break;
      case 2:
        header.erase(begin, end - begin);
        break;
      default:
        header.insert(begin, word);
        break;
    }
  }
  std::string file(8, '\0');
  const uint64_t length = header.size() + length_error;
  std::memcpy(file.data(), &length, sizeof(length));
  return file + header + std::string(data_bytes, 'd');
}

void check(bool condition) {
  if (!condition) std::abort();
}

void parse(const std::string& file) {
  const auto* bytes = reinterpret_cast<const std::byte*>(file.data());
  std::map<std::string, std::string> metadata;
  try {
    const auto tensors = lococo::parse_safetensors(bytes, file.size(), "fuzz", &metadata);
    for (const auto& [name, view] : tensors) {
      size_t expected = lococo::bytes_of(view.dtype);
      for (const int64_t size : view.shape) expected *= static_cast<size_t>(size);
      check(view.num_bytes == expected);
      check(view.data >= bytes && view.data + view.num_bytes <= bytes + file.size());
    }
  } catch (const lococo::UserError& error) {
    check(std::strchr(error.what(), '\n') == nullptr);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  parse(std::string(reinterpret_cast<const char*>(data), size));
  parse(mutated_file(Choices(data, size)));
  return 0;
}
