#include "tests/support/tiny_bpe.h"

#include <utility>
#include <vector>

#include "core/files.h"

namespace lococo::testing {
namespace {

using nlohmann::json;

/// The alphabet of bytes, written independently of the code under test.
std::string character_of(int byte) {
  int point = byte;
  if (byte <= 0x20) point = 0x100 + byte;
  if (byte >= 0x7F && byte <= 0xA0) point = 0x121 + byte - 0x7F;
  if (byte == 0xAD) point = 0x143;
  if (point < 0x80) return {static_cast<char>(point)};
  return {static_cast<char>(0xC0 | point >> 6), static_cast<char>(0x80 | (point & 0x3F))};
}

json special(int32_t id, const std::string& text) {
  return {{"id", id},        {"content", text},     {"single_word", false}, {"lstrip", false},
          {"rstrip", false}, {"normalized", false}, {"special", true}};
}

}  // namespace

json tiny_bpe() {
  json vocab = json::object();
  for (int byte = 0; byte < 256; ++byte) vocab[character_of(byte)] = byte;
  const std::string space = character_of(' ');
  const std::vector<std::pair<std::string, std::string>> merges = {
      {"h", "e"},   {"l", "l"},         {"he", "ll"},       {"hell", "o"},
      {space, "w"}, {space + "w", "o"}, {space + "wo", "r"}};
  int32_t next = 256;
  for (const auto& [left, right] : merges) vocab[left + right] = next++;
  return {
      {"version", "1.0"},
      {"truncation", nullptr},
      {"padding", nullptr},
      {"added_tokens", {special(kEndOfText, "<|endoftext|>"), special(kEndOfTurn, "<|im_end|>")}},
      {"normalizer", nullptr},
      {"pre_tokenizer", {{"type", "ByteLevel"}, {"add_prefix_space", false}}},
      {"post_processor", nullptr},
      {"decoder", {{"type", "ByteLevel"}}},
      {"model", {{"type", "BPE"}, {"vocab", vocab}, {"merges", merges}}}};
}

void write_json(const std::string& path, const json& value) { write_text_file(path, value.dump()); }

}  // namespace lococo::testing
