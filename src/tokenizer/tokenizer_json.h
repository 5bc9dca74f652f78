// Hugging Face's tokenizer.json with a byte-level BPE: the file as the parts that do the work.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizer/added_tokens.h"
#include "tokenizer/bpe_model.h"
#include "tokenizer/pre_tokenizer.h"

namespace lococo {

struct TokenizerParts {
  BpeVocabulary vocabulary;
  std::vector<SplitStep> steps;
  std::vector<AddedToken> added;
  std::vector<std::string> decoded;  ///< for each id its bytes in a decoded text; empty for none
  int32_t bos = -1;                  ///< what the post-processor puts before a text
};

/// Reads the text of the file `path`. Throws UserError, which names the file and the place, for a
/// text that is no tokenizer.json, for parts that contradict each other (merges without a token,
/// one id for two tokens), and for every kind of part and every option that would change ids and is
/// not among those that are done here: BPE over bytes, no normalizer, ByteLevel, Digits, Split and
/// their sequence, the ByteLevel decoder, a template with one token in front.
TokenizerParts read_tokenizer_json(std::string_view text, const std::string& path);

}  // namespace lococo
