#include "questions/sentences.h"

#include <algorithm>
#include <array>
#include <string>

namespace lococo {
namespace {

constexpr size_t kMostWords = 100;

bool is_title(std::string_view word) {
  static constexpr std::array<std::string_view, 14> kTitles = {
      "Mr.",  "Mrs.", "Ms.",   "Dr.", "St.", "Rev.", "Hon.",
      "Col.", "Gen.", "Capt.", "Lt.", "No.", "Esq.", "Messrs."};
  while (!word.empty() && (word.front() == '"' || word.front() == '\'' || word.front() == '(')) {
    word.remove_prefix(1);
  }
  const bool initial = word.size() == 2 && word[0] >= 'A' && word[0] <= 'Z' && word[0] != 'I';
  return initial || std::find(kTitles.begin(), kTitles.end(), word) != kTitles.end();
}

bool ends_sentence(std::string_view word) {
  const size_t last = word.find_last_not_of("\"')]");
  if (last == std::string_view::npos) return false;
  const char c = word[last];
  return c == '!' || c == '?' || (c == '.' && !is_title(word.substr(0, last + 1)));
}

size_t count_newlines(std::string_view blanks) {
  return static_cast<size_t>(std::count(blanks.begin(), blanks.end(), '\n'));
}

size_t skip(std::string_view text, size_t at, bool blanks) {
  while (at < text.size() && is_blank(text[at]) == blanks) ++at;
  return at;
}

}  // namespace

std::vector<Sentence> split_sentences(std::string_view text) {
  std::vector<Sentence> sentences;
  size_t begin = skip(text, 0, true);
  size_t words = 0;
  for (size_t word = begin; word < text.size();) {
    const size_t end = skip(text, word, false);
    const size_t next = skip(text, end, true);
    ++words;
    const bool lower_follows = next < text.size() && text[next] >= 'a' && text[next] <= 'z';
    if (next == text.size() || words == kMostWords ||
        count_newlines(text.substr(end, next - end)) > 1 ||
        (!lower_follows && ends_sentence(text.substr(word, end - word)))) {
      sentences.push_back({begin, end, next, words});
      begin = next;
      words = 0;
    }
    word = next;
  }
  return sentences;
}

}  // namespace lococo
