#include "tokenizer/utf8_text.h"

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "core/error.h"

namespace lococo {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";

struct Sequence {
  size_t size;  ///< bytes from its lead byte that belong together, at least 1
  bool valid;
};

/// How many bytes follow a lead byte, and the bounds of the first of them: those of the others are
/// 0x80 and 0xBF. Bounds that are tighter shut out overlong forms, surrogates and what is beyond
/// U+10FFFF.
struct Lead {
  size_t following = 0;
  uint8_t lowest = 0x80;
  uint8_t highest = 0xBF;
};

Lead lead_of(uint8_t byte) {
  if (byte >= 0xC2 && byte <= 0xDF) return {1};
  if (byte == 0xE0) return {2, 0xA0, 0xBF};
  if (byte == 0xED) return {2, 0x80, 0x9F};
  if (byte >= 0xE1 && byte <= 0xEF) return {2};
  if (byte == 0xF0) return {3, 0x90, 0xBF};
  if (byte >= 0xF1 && byte <= 0xF3) return {3};
  if (byte == 0xF4) return {3, 0x80, 0x8F};
  return {};
}

Sequence sequence_at(std::string_view text, size_t at) {
  const auto first = static_cast<uint8_t>(text[at]);
  if (first < 0x80) return {1, true};
  Lead lead = lead_of(first);
  if (lead.following == 0) return {1, false};
  for (size_t i = 1; i <= lead.following; ++i) {
    if (at + i >= text.size()) return {i, false};
    const auto byte = static_cast<uint8_t>(text[at + i]);
    if (byte < lead.lowest || byte > lead.highest) return {i, false};
    lead.lowest = 0x80;
    lead.highest = 0xBF;
  }
  return {1 + lead.following, true};
}

bool eight_ascii(const char* bytes) {
  uint64_t word;
  std::memcpy(&word, bytes, sizeof(word));
  return (word & 0x8080808080808080U) == 0;
}

}  // namespace

size_t find_invalid_utf8(std::string_view text) {
  size_t at = 0;
  while (at < text.size()) {
    if (at + 8 <= text.size() && eight_ascii(text.data() + at)) {
      at += 8;
      continue;
    }
    const Sequence sequence = sequence_at(text, at);
    if (!sequence.valid) return at;
    at += sequence.size;
  }
  return std::string_view::npos;
}

void check_utf8(std::string_view text, const std::string& place) {
  const size_t bad = find_invalid_utf8(text);
  if (bad != std::string_view::npos) fail_invalid_utf8(place, bad);
}

void fail_invalid_utf8(const std::string& place, uint64_t byte) {
  throw UserError(place + ": byte " + std::to_string(byte) +
                  " of the text is not UTF-8; convert it, for example with iconv");
}

std::string replace_invalid_utf8(std::string_view text) {
  std::string valid;
  valid.reserve(text.size());
  while (true) {
    const size_t bad = find_invalid_utf8(text);
    valid += text.substr(0, bad);
    if (bad == std::string_view::npos) return valid;
    valid += kReplacement;
    text.remove_prefix(bad + sequence_at(text, bad).size);
  }
}

}  // namespace lococo
