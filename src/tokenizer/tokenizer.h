// Text to token ids and back, whatever kind of tokenizer a model brings.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace lococo {

/// What to do without a tokenizer that can be read, for the end of a message.
inline constexpr const char* kWithoutTokenizer =
    "this version reads SentencePiece models (tokenizer.model) and byte-level BPE "
    "(tokenizer.json); "
    "for another tokenizer give raw token ids: data.raw_dtype with .bin files, lococo-generate "
    "--prompt-ids";

/// All methods may be called from several threads at once.
class Tokenizer {
 public:
  virtual ~Tokenizer() = default;

  /// Token ids of `text` (UTF-8), without BOS and EOS; "" gives no ids. The texts of special tokens
  /// within it are recognised where the model's own tokenizer does so.
  virtual std::vector<int32_t> encode(const std::string& text) const = 0;

  /// The same with the texts of special tokens taken as ordinary text: for what somebody typed, who
  /// must not end a turn of a conversation by writing its end token.
  virtual std::vector<int32_t> encode_ordinary(const std::string& text) const = 0;

  /// Throws UserError for an id outside [0, vocab_size()): the ids are of another tokenizer.
  virtual std::string decode(const std::vector<int32_t>& ids) const = 0;

  virtual int64_t vocab_size() const = 0;
  /// What the model's own tokenizer puts before a text; -1 for nothing.
  virtual int32_t bos_id() const = 0;
  /// What ends a document of pretraining; -1 for nothing.
  virtual int32_t eos_id() const = 0;
  /// The id of a special token by its text, "<|im_end|>"; nullopt for any other text.
  virtual std::optional<int32_t> special_id(const std::string& text) const = 0;

  /// Of the model file's bytes; token files carry it, so that ids of another tokenizer are refused.
  virtual uint64_t fingerprint() const = 0;
};

/// The tokenizer of a file: tokenizer.json when it is named .json or begins with a brace, else a
/// SentencePiece model. Throws UserError when it is missing or no tokenizer that can be read.
std::unique_ptr<Tokenizer> load_tokenizer(const std::string& path);

/// The name that such a file has in a Hugging Face folder, by which every program finds it:
/// "tokenizer.json" or "tokenizer.model".
const char* usual_tokenizer_name(const std::string& path);

/// What to tell somebody who decodes an id outside a vocabulary.
std::string foreign_id_message(int32_t id, int64_t vocab_size);

/// Throws UserError for a tokenizer with ids that the model has no row for, and warns of one that
/// lacks more of the model's tokens than padding explains: it is another model's.
void check_vocabulary(const Tokenizer& tokenizer, int64_t model_vocab_size);

}  // namespace lococo
