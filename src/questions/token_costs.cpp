#include "questions/token_costs.h"

namespace lococo {

TokenCosts::TokenCosts(const Tokenizer& tokenizer) : tokenizer_(tokenizer) {}

int64_t TokenCosts::count(const std::string& text) const {
  return static_cast<int64_t>(tokenizer_.encode_ordinary(text).size());
}

int64_t TokenCosts::separator(std::string_view separator) {
  return separator == " " ? 0 : between("a.", separator, "b") - between("a.", " ", "b");
}

int64_t TokenCosts::between(const char* before, std::string_view text, const char* after) {
  // Words hold no blanks and separators nothing else: one table serves both.
  const auto [it, is_new] = known_.try_emplace(std::string(text), 0);
  if (is_new) it->second = count(before + it->first + after) - count("a");
  return it->second;
}

}  // namespace lococo
