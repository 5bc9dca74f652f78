// SentencePiece models (tokenizer.model); the library itself appears only in the .cpp.
#pragma once

#include "tokenizer/tokenizer.h"

namespace lococo {

class SentencePieceTokenizer final : public Tokenizer {
 public:
  /// Throws UserError when the file is no SentencePiece model.
  explicit SentencePieceTokenizer(const std::string& path);
  ~SentencePieceTokenizer() override;

  std::vector<int32_t> encode(const std::string& text) const override;
  /// The library never takes text for a control token: this is encode().
  std::vector<int32_t> encode_ordinary(const std::string& text) const override;
  std::string decode(const std::vector<int32_t>& ids) const override;
  int64_t vocab_size() const override;
  int32_t bos_id() const override;
  int32_t eos_id() const override;
  std::optional<int32_t> special_id(const std::string& text) const override;
  uint64_t fingerprint() const override;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace lococo
