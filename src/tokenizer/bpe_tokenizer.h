// Byte-level BPE of Hugging Face's tokenizer.json: GPT-2, Llama-3, SmolLM and their like.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "tokenizer/added_tokens.h"
#include "tokenizer/bpe_model.h"
#include "tokenizer/pre_tokenizer.h"
#include "tokenizer/tokenizer.h"
#include "tokenizer/tokenizer_json.h"

namespace lococo {

/// Gives the ids that the PyPI package tokenizers gives for the same file. Bytes that are no UTF-8
/// count as U+FFFD, in texts as in what ids decode to.
class BpeTokenizer final : public Tokenizer {
 public:
  /// Throws UserError as read_tokenizer_json does, and for a tokenizer_config.json beside the file
  /// that cannot be read; without one there is no EOS token but the usual ones.
  explicit BpeTokenizer(const std::string& path);

  std::vector<int32_t> encode(const std::string& text) const override;
  std::vector<int32_t> encode_ordinary(const std::string& text) const override;
  std::string decode(const std::vector<int32_t>& ids) const override;
  int64_t vocab_size() const override;
  int32_t bos_id() const override { return bos_; }
  int32_t eos_id() const override { return eos_; }
  std::optional<int32_t> special_id(const std::string& text) const override;
  uint64_t fingerprint() const override { return fingerprint_; }

 private:
  BpeTokenizer(const std::string& path, const std::string& text);
  BpeTokenizer(const std::string& path, TokenizerParts parts, uint64_t fingerprint);

  std::vector<int32_t> encode(const std::string& text, bool ordinary) const;
  int32_t find_eos(const std::string& path) const;

  AddedTokens added_;
  PreTokenizer pre_tokenizer_;
  BpeModel model_;
  std::vector<std::string> decoded_;
  uint64_t fingerprint_;
  int32_t bos_;
  int32_t eos_;
};

}  // namespace lococo
