#include "chat/token_places.h"

#include <algorithm>

namespace lococo {

size_t token_at(const Tokenizer& tokenizer, const std::string& text,
                const std::vector<int32_t>& ids, size_t byte) {
  if (byte == 0) return 0;
  const auto decoded = [&](size_t count) {
    return tokenizer.decode({ids.begin(), ids.begin() + static_cast<std::ptrdiff_t>(count)});
  };
  // Some tokenizers normalise: then bytes are counted in what comes back.
  std::string whole = decoded(ids.size());
  if (whole != text)
    byte = tokenizer.decode(tokenizer.encode_ordinary(text.substr(0, byte))).size();

  // The fewest tokens whose text reaches the byte: first by doubling, since many places are near
  // the beginning of a long text.
  size_t low = 0, high = 1;
  while (high < ids.size() && decoded(high).size() < byte) {
    low = high;
    high *= 2;
  }
  high = std::min(high, ids.size());
  while (low + 1 < high) {
    const size_t middle = low + (high - low) / 2;
    (decoded(middle).size() < byte ? low : high) = middle;
  }
  // Cut within a character, a text ends with a replacement of three bytes instead of one to three:
  // the search may be off by the tokens of one character.
  constexpr size_t kMostTokensOfCharacter = 4;
  for (size_t k = low > kMostTokensOfCharacter ? low - kMostTokensOfCharacter : 0; k < ids.size();
       ++k) {
    const std::string head = decoded(k);
    if (head.size() >= byte && whole.compare(0, head.size(), head) == 0) return k;
  }
  return ids.size();
}

}  // namespace lococo
