#include "tokenizer/byte_alphabet.h"

#include <cstdint>

namespace lococo {
namespace {

constexpr uint32_t kLargest = 0x143;  ///< of the alphabet's code points: 68 bytes are not printable

bool is_printable(uint32_t byte) {
  return (byte >= '!' && byte <= '~') || (byte >= 0xA1 && byte <= 0xFF && byte != 0xAD);
}

std::array<uint32_t, 256> code_points() {
  std::array<uint32_t, 256> points{};
  uint32_t next = 0x100;
  for (uint32_t byte = 0; byte < 256; ++byte) points[byte] = is_printable(byte) ? byte : next++;
  return points;
}

/// For each code point up to the largest its byte, or -1.
std::array<int, kLargest + 1> bytes_of_points() {
  std::array<int, kLargest + 1> bytes;
  bytes.fill(-1);
  const auto points = code_points();
  for (size_t byte = 0; byte < points.size(); ++byte) bytes[points[byte]] = static_cast<int>(byte);
  return bytes;
}

}  // namespace

const std::array<std::string, 256>& byte_alphabet() {
  static const std::array<std::string, 256> alphabet = [] {
    std::array<std::string, 256> made;
    const auto points = code_points();
    for (size_t byte = 0; byte < points.size(); ++byte) {
      const uint32_t point = points[byte];
      if (point >= 0x80) made[byte] += static_cast<char>(0xC0 | point >> 6);
      made[byte] += static_cast<char>(point < 0x80 ? point : 0x80 | (point & 0x3F));
    }
    return made;
  }();
  return alphabet;
}

std::optional<std::string> bytes_of_token(std::string_view text) {
  static const auto byte_of = bytes_of_points();
  std::string bytes;
  for (size_t i = 0; i < text.size(); ++i) {
    auto point = static_cast<uint32_t>(static_cast<uint8_t>(text[i]));
    if (point >= 0xE0) return std::nullopt;  // three bytes and more: beyond the alphabet
    if (point >= 0xC0) {
      if (++i == text.size()) return std::nullopt;
      point = (point & 0x1F) << 6 | (static_cast<uint8_t>(text[i]) & 0x3F);
    }
    if (point > kLargest || byte_of[point] < 0) return std::nullopt;
    bytes += static_cast<char>(byte_of[point]);
  }
  return bytes;
}

}  // namespace lococo
