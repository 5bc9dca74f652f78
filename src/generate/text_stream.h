// Text of tokens while they come, in pieces that no later token takes back.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "tokenizer/tokenizer.h"

namespace lococo {

/// Turns tokens that continue a prompt into text. A token may be a part of a character only (a byte
/// of it), and the space before a word belongs to the word: so tokens are decoded together with
/// those before them, and what a later token may still change is held back. All pieces in order are
/// decode(prompt + tokens) without decode(prompt), and each is valid UTF-8: bytes that are no
/// character become U+FFFD. A prompt that ends within a character gives its part of it to the text.
class TextStream {
 public:
  /// The tokenizer must outlive this.
  TextStream(const Tokenizer& tokenizer, const std::vector<int32_t>& prompt);

  /// Text that is certain now that `ids` have come too.
  std::string add(const std::vector<int32_t>& ids);

  /// What was held back, at the end.
  std::string finish();

 private:
  void restart(const std::vector<int32_t>& before);
  std::string text() const;
  std::string from_given_to(const std::string& text, size_t end);

  const Tokenizer& tokenizer_;
  std::vector<int32_t> ids_;  ///< the last tokens
  size_t given_ = 0;          ///< bytes of their text that are given or the prompt's
};

}  // namespace lococo
