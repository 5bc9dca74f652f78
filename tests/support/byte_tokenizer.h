// A tokenizer that a test can read: bytes, and the special tokens that it is given.
#pragma once

#include <algorithm>
#include <utility>

#include "tokenizer/tokenizer.h"

namespace lococo::testing {

/// Ids: 0 ... 255 the bytes of a text, then the special tokens in order. decode(ids) is the text
/// that the ids stand for, special tokens in full.
class ByteTokenizer final : public Tokenizer {
 public:
  explicit ByteTokenizer(std::vector<std::string> specials) : specials_(std::move(specials)) {}

  std::vector<int32_t> encode(const std::string& text) const override {
    return encode_ordinary(text);
  }
  std::vector<int32_t> encode_ordinary(const std::string& text) const override {
    std::vector<int32_t> ids;
    for (const char c : text) ids.push_back(static_cast<unsigned char>(c));
    return ids;
  }
  std::string decode(const std::vector<int32_t>& ids) const override {
    std::string text;
    for (const int32_t id : ids)
      text += id < 256 ? std::string(1, static_cast<char>(id))
                       : specials_.at(static_cast<size_t>(id) - 256);
    return text;
  }
  int64_t vocab_size() const override { return 256 + static_cast<int64_t>(specials_.size()); }
  int32_t bos_id() const override { return 256; }
  int32_t eos_id() const override { return 257; }
  std::optional<int32_t> special_id(const std::string& text) const override {
    const auto found = std::find(specials_.begin(), specials_.end(), text);
    if (found == specials_.end()) return std::nullopt;
    return static_cast<int32_t>(256 + (found - specials_.begin()));
  }
  uint64_t fingerprint() const override { return 1; }

 private:
  std::vector<std::string> specials_;
};

}  // namespace lococo::testing
