// SentencePiece models behind a small interface; the library itself appears only in tokenizer.cpp.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace lococo {

/// What to do without a SentencePiece model, for the end of a message.
inline constexpr const char* kWithoutTokenizer =
    "this version reads SentencePiece models (tokenizer.model); for another tokenizer give raw "
    "token ids: data.raw_dtype with .bin files, lococo-generate --prompt-ids";

/// A SentencePiece model. All const methods may be called from several threads at once.
class Tokenizer {
 public:
  /// Throws UserError when the file is missing or is no SentencePiece model.
  explicit Tokenizer(const std::string& model_path);
  ~Tokenizer();
  Tokenizer(Tokenizer&&) noexcept;
  Tokenizer& operator=(Tokenizer&&) noexcept;

  /// Token ids of `text` (UTF-8), without BOS and EOS; "" gives no ids.
  std::vector<int32_t> encode(const std::string& text) const;

  /// Throws UserError for an id outside [0, vocab_size()): the ids are of another tokenizer.
  std::string decode(const std::vector<int32_t>& ids) const;

  int64_t vocab_size() const;
  int32_t bos_id() const;  ///< -1 when the model has none
  int32_t eos_id() const;  ///< -1 when the model has none

  /// xxh64 of the model file's bytes; token files carry it, so that ids of another tokenizer are
  /// refused.
  uint64_t fingerprint() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// Throws UserError for a tokenizer with ids that the model has no row for, and warns of one that
/// lacks more of the model's tokens than padding explains: it is another model's.
void check_vocabulary(const Tokenizer& tokenizer, int64_t model_vocab_size);

}  // namespace lococo
