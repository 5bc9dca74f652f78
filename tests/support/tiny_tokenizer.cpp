#include "tests/support/tiny_tokenizer.h"

#include <cstring>

#include "core/files.h"

namespace lococo::testing {
namespace {

// The wire format of protocol buffers: a key of field number and type, then the value.
std::string bytes_field(int field, const std::string& value) {
  return std::string{static_cast<char>(field << 3 | 2), static_cast<char>(value.size())} + value;
}
// A varint of two bytes, which holds 0 ... 16383 in its long form and small negative ids not at
// all.
std::string varint_field(int field, unsigned value) {
  std::string key;
  unsigned number = static_cast<unsigned>(field) << 3;
  for (; number >= 0x80; number >>= 7) key += static_cast<char>(number | 0x80);
  return key + static_cast<char>(number) + static_cast<char>(value);
}
std::string no_id_field(int field) {
  // -1: sixty-four ones.
  return varint_field(field, 0).substr(0, 2) + std::string(9, '\xFF') + '\x01';
}

// enum Type { NORMAL = 1, UNKNOWN = 2, CONTROL = 3, BYTE = 6 }
std::string piece(const std::string& text, unsigned type) {
  const float score = -1.0F;
  std::string number(sizeof(score), '\0');
  std::memcpy(number.data(), &score, sizeof(score));
  return bytes_field(
      1, bytes_field(1, text) + static_cast<char>(2 << 3 | 5) + number + varint_field(3, type));
}

}  // namespace

void write_tiny_tokenizer(const std::string& path, bool with_bos) {
  std::string model = piece("<unk>", 2);
  model += piece("<s>", with_bos ? 3 : 1) + piece("</s>", with_bos ? 3 : 1);
  model += piece("\u2581", 1);
  for (char letter = 'a'; letter <= 'z'; ++letter) model += piece(std::string(1, letter), 1);
  if (!with_bos) model += bytes_field(2, no_id_field(41) + no_id_field(42));
  write_text_file(path, model);
}

void write_byte_tokenizer(const std::string& path) {
  std::string model = piece("<unk>", 2) + piece("<s>", 3) + piece("</s>", 3);
  for (int byte = 0; byte < 256; ++byte) {
    const char* const digits = "0123456789ABCDEF";
    model += piece(std::string("<0x") + digits[byte / 16] + digits[byte % 16] + ">", 6);
  }
  model += piece("\u2581", 1);
  for (char letter = 'a'; letter <= 'z'; ++letter) model += piece(std::string(1, letter), 1);
  model += piece("\u2581the", 1);
  constexpr int kByteFallback = 35;  // of TrainerSpec
  model += bytes_field(2, varint_field(kByteFallback, 1));
  write_text_file(path, model);
}

std::vector<int32_t> tiny_ids(const std::string& text) {
  std::vector<int32_t> ids;
  for (const char c : " " + text) ids.push_back(c == ' ' ? 3 : c - 'a' + 4);
  return ids;
}

}  // namespace lococo::testing
