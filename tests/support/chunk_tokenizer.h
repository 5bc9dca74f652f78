// A tokenizer whose ids say their text, for tests that read prompts.
#pragma once

#include "tokenizer/tokenizer.h"

namespace lococo::testing {

/// Tokens are at most four ASCII characters of a word, the first of which may be the blank before
/// it; digits, line breaks and further blanks stand alone. Bytes that are not ASCII have ids of
/// their own. BOS is 0 where `with_bos`.
class ChunkTokenizer final : public Tokenizer {
 public:
  explicit ChunkTokenizer(bool with_bos = true) : with_bos_(with_bos) {}

  std::vector<int32_t> encode(const std::string& text) const override {
    std::vector<int32_t> ids;
    for (size_t at = 0; at < text.size();) {
      size_t end = at + 1;
      if (text[at] == ' ' && end < text.size() && is_letter(text[end])) ++end;
      while (is_letter(text[end - 1]) && end < text.size() && is_letter(text[end]) &&
             end - at < 4) {
        ++end;
      }
      ids.push_back(id_of(text.substr(at, end - at)));
      at = end;
    }
    return ids;
  }
  std::vector<int32_t> encode_ordinary(const std::string& text) const override {
    return encode(text);
  }
  std::string decode(const std::vector<int32_t>& ids) const override {
    std::string text;
    for (int32_t id : ids) {
      if (id >= kBytes) text += static_cast<char>(id - kBytes);
      std::string piece;
      for (; id > 0 && id < kBytes; id /= 128)
        piece.insert(piece.begin(), static_cast<char>(id % 128));
      text += piece;
    }
    return text;
  }
  int64_t vocab_size() const override { return kBytes + 256; }
  int32_t bos_id() const override { return with_bos_ ? 0 : -1; }
  int32_t eos_id() const override { return -1; }
  std::optional<int32_t> special_id(const std::string&) const override { return {}; }
  uint64_t fingerprint() const override { return 1; }

 private:
  static constexpr int32_t kBytes = 128 * 128 * 128 * 128;
  static bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
  static int32_t id_of(const std::string& piece) {
    int32_t id = 0;
    for (const char c : piece) {
      if (static_cast<unsigned char>(c) >= 128) return kBytes + static_cast<unsigned char>(c);
      id = id * 128 + c;
    }
    return id;
  }

  bool with_bos_;
};

}  // namespace lococo::testing
