// How many tokens words cost, without encoding a long text again and again.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>

#include "tokenizer/tokenizer.h"

namespace lococo {

/// Costs are those of a word in the middle of a text. Tokenizers hardly ever join words, so that a
/// text costs as much as its words: an estimate, to be checked on the whole text. Not for several
/// threads at once.
class TokenCosts {
 public:
  explicit TokenCosts(const Tokenizer& tokenizer);

  /// Tokens of a blank and `word`.
  int64_t word(std::string_view word) { return between("a ", word, ""); }
  /// Tokens that `separator` costs more than a single blank does.
  int64_t separator(std::string_view separator);

 private:
  int64_t count(const std::string& text) const;
  int64_t between(const char* before, std::string_view text, const char* after);

  const Tokenizer& tokenizer_;
  std::unordered_map<std::string, int64_t> known_;
};

}  // namespace lococo
