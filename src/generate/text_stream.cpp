#include "generate/text_stream.h"

#include <utf8.h>

#include <algorithm>
#include <iterator>
#include <string_view>

namespace lococo {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";  // U+FFFD: for a byte that stands alone
constexpr int kMostPending = 3;                            // bytes of an incomplete character
constexpr size_t kLongest = 64;                            // tokens that are decoded together

/// The bytes of a text that further tokens leave as they are.
size_t certain(std::string_view text) {
  for (int i = 0; i < kMostPending && text.ends_with(kReplacement); ++i)
    text.remove_suffix(kReplacement.size());
  return text.size();
}

}  // namespace

TextStream::TextStream(const Tokenizer& tokenizer, const std::vector<int32_t>& prompt)
    : tokenizer_(tokenizer) {
  restart(prompt);
}

/// Keeps the last of the tokens, but enough to have a text: at the very beginning of one the space
/// before the first word is left out.
void TextStream::restart(const std::vector<int32_t>& before) {
  for (size_t count = kLongest / 4;; count *= 4) {
    count = std::min(count, before.size());
    ids_.assign(before.end() - static_cast<std::ptrdiff_t>(count), before.end());
    given_ = certain(text());
    if (given_ > 0 || count == before.size()) return;
  }
}

std::string TextStream::add(const std::vector<int32_t>& ids) {
  ids_.insert(ids_.end(), ids.begin(), ids.end());
  const std::string now = text();
  const size_t end = certain(now);
  const std::string piece = from_given_to(now, end);
  if (ids_.size() > kLongest && end == now.size()) restart(std::vector<int32_t>(ids_));
  return piece;
}

std::string TextStream::finish() {
  const std::string now = text();
  return from_given_to(now, now.size());
}

std::string TextStream::text() const {
  const std::string decoded = tokenizer_.decode(ids_);
  std::string valid;
  utf8::replace_invalid(decoded.begin(), decoded.end(), std::back_inserter(valid));
  return valid;
}

std::string TextStream::from_given_to(const std::string& text, size_t end) {
  if (end <= given_) return "";
  const std::string piece = text.substr(given_, end - given_);
  given_ = end;
  return piece;
}

}  // namespace lococo
