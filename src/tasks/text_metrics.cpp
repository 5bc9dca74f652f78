#include "tasks/text_metrics.h"

#include <algorithm>
#include <map>

namespace lococo {
namespace {

using Words = std::vector<std::string>;

bool is_digit_or_lower(char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z'); }

bool is_beyond_ascii(char c) { return static_cast<unsigned char>(c) >= 0x80; }

bool is_punctuation(char c) {
  return c > ' ' && c < 0x7F && !is_digit_or_lower(c) && !(c >= 'A' && c <= 'Z');
}

Words rouge_words(std::string_view text) {
  Words words(1);
  for (const char c : lower_case(text)) {
    if (is_digit_or_lower(c) || is_beyond_ascii(c)) {
      words.back() += c;
    } else if (!words.back().empty()) {
      words.emplace_back();
    }
  }
  if (words.back().empty()) words.pop_back();
  return words;
}

double f_measure(double common, size_t answer, size_t gold) {
  if (common == 0.0) return 0.0;
  const double precision = common / static_cast<double>(answer);
  const double recall = common / static_cast<double>(gold);
  return 2.0 * precision * recall / (precision + recall);
}

size_t longest_common_subsequence(const Words& a, const Words& b) {
  std::vector<size_t> row(b.size() + 1, 0);
  for (const std::string& word : a) {
    size_t diagonal = 0;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t above = row[j];
      row[j] = word == b[j - 1] ? diagonal + 1 : std::max(above, row[j - 1]);
      diagonal = above;
    }
  }
  return row.back();
}

}  // namespace

std::string lower_case(std::string_view text) {
  std::string lower(text);
  for (char& c : lower) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return lower;
}

std::vector<std::string> squad_words(std::string_view text) {
  std::string plain = lower_case(text);
  std::erase_if(plain, is_punctuation);
  Words words(1);
  for (const char c : plain + " ") {
    if (c != ' ' && !(c >= '\t' && c <= '\r')) {
      words.back() += c;
    } else if (words.back() == "a" || words.back() == "an" || words.back() == "the") {
      words.back().clear();
    } else if (!words.back().empty()) {
      words.emplace_back();
    }
  }
  words.pop_back();
  return words;
}

double exact_match(std::string_view answer, std::string_view gold) {
  return squad_words(answer) == squad_words(gold) ? 1.0 : 0.0;
}

double token_f1(std::string_view answer, std::string_view gold) {
  const Words a = squad_words(answer), b = squad_words(gold);
  if (a.empty() || b.empty()) return a.empty() && b.empty() ? 1.0 : 0.0;
  std::map<std::string, int> left;
  for (const std::string& word : b) ++left[word];
  const auto is_common = [&](const std::string& word) { return left[word]-- > 0; };
  const auto common = std::count_if(a.begin(), a.end(), is_common);
  return f_measure(static_cast<double>(common), a.size(), b.size());
}

double rouge_l(std::string_view answer, std::string_view gold) {
  const Words a = rouge_words(answer), b = rouge_words(gold);
  return f_measure(static_cast<double>(longest_common_subsequence(a, b)), a.size(), b.size());
}

}  // namespace lococo
