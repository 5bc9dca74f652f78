#include "tokenizer/pattern_syntax.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <string_view>
#include <vector>

#include "core/error.h"

namespace lococo {
namespace {

// Unicode's word characters, and the small digits and fractions of Latin-1, which Oniguruma adds.
constexpr std::string_view kWord =
    "\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}\\x{B2}\\x{B3}\\x{B9}\\x{BC}-\\x{BE}";
constexpr std::string_view kMarks = "\\.^$|?*+()[]{}-/#&~!\"'%,:;=@_ ";

constexpr std::array<std::string_view, 38> kCategories = {
    "L",  "Lu", "Ll", "Lt", "Lm", "Lo", "M",  "Mn", "Mc", "Me", "N",  "Nd", "Nl",
    "No", "P",  "Pc", "Pd", "Ps", "Pe", "Pi", "Pf", "Po", "S",  "Sm", "Sc", "Sk",
    "So", "Z",  "Zs", "Zl", "Zp", "C",  "Cc", "Cf", "Cs", "Co", "Cn", "Any"};

bool is_digit(char c) { return c >= '0' && c <= '9'; }

class Translator {
 public:
  explicit Translator(const std::string& pattern) : in_(pattern) {}

  std::string run() {
    while (at_ < in_.size()) {
      if (next_is("[")) {
        set();
      } else if (next_is("(")) {
        open_group();
      } else {
        one();
      }
    }
    return out_;
  }

 private:
  [[noreturn]] void refuse(const std::string& what) const {
    throw UserError("the pattern " + in_ + " has " + what + " at byte " + std::to_string(at_) +
                    ", which this version does not read");
  }

  bool next_is(std::string_view text) const { return in_.compare(at_, text.size(), text) == 0; }

  bool take(std::string_view text) {
    if (!next_is(text)) return false;
    at_ += text.size();
    return true;
  }

  void copy(size_t count) {
    out_ += in_.substr(at_, count);
    at_ += count;
  }

  /// Whatever is not a set or the beginning of a group.
  void one() {
    const char c = in_[at_];
    if (c == '\\') return escape(/*in_set=*/false);
    if (c == '^' || c == '$') refuse(std::string("the anchor ") + c);
    if (c == '{') return counted();
    if (c == ')') {
      if (groups_.empty()) refuse("a ) without (");
      ignores_case_ = groups_.back();
      groups_.pop_back();
    }
    if (ignores_case_ && (static_cast<unsigned char>(c) >= 0x80 || c == '.'))
      refuse("something other than ASCII letters in a (?i: )");
    copy(1);
  }

  void open_group() {
    constexpr std::array<std::string_view, 6> kKinds = {"(?:", "(?=", "(?!", "(?<=", "(?<!", "(?>"};
    groups_.push_back(ignores_case_);
    if (next_is("(?i:")) {
      ignores_case_ = true;
      check_case_folds();
      return copy(4);
    }
    for (const std::string_view kind : kKinds) {
      if (next_is(kind)) return copy(kind.size());
    }
    if (next_is("(?") || next_is("(*")) refuse("the group " + in_.substr(at_, 3));
    copy(1);
  }

  /// Without regard to case Oniguruma takes some characters for two letters, PCRE2 never.
  void check_case_folds() const {
    std::string rest = in_.substr(at_);
    std::transform(rest.begin(), rest.end(), rest.begin(), [](char c) {
      return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    });
    for (const char* const pair : {"ss", "ff", "fi", "fl", "st"}) {
      if (rest.find(pair) < rest.find(')'))
        refuse("a (?i: ) with the letters " + std::string(pair));
    }
  }

  /// {2}, {2,}, {2,3}: the one form of repetition that both read alike, unless more follows.
  void counted() {
    size_t end = at_ + 1;
    while (end < in_.size() && is_digit(in_[end])) ++end;
    bool good = end > at_ + 1;
    if (end < in_.size() && in_[end] == ',') ++end;
    while (end < in_.size() && is_digit(in_[end])) ++end;
    good = good && end < in_.size() && in_[end] == '}';
    if (!good) refuse("a { that is no repetition");
    copy(end + 1 - at_);
    if (next_is("?") || next_is("+") || next_is("*")) refuse("a repetition of a repetition");
  }

  void set() {
    if (ignores_case_) refuse("a set in a (?i: )");
    copy(1);
    if (next_is("^")) copy(1);
    if (next_is("]")) refuse("a set that is empty or begins with ]");
    while (!next_is("]")) {
      if (at_ >= in_.size()) refuse("a set without ]");
      if (next_is("[")) refuse("a set within a set");
      if (next_is("&&")) refuse("an intersection of sets");
      member_of_set();
    }
    copy(1);
  }

  /// A character, a class such as \s, or a range, which is of two characters for both.
  void member_of_set() {
    const bool is_class = is_class_escape(at_);
    if (next_is("\\")) {
      escape(/*in_set=*/true);
    } else {
      copy(1);
    }
    const bool more = next_is("-") && at_ + 1 < in_.size() && in_[at_ + 1] != ']';
    if (more && (is_class || is_class_escape(at_ + 1)))
      refuse("a range that a class begins or ends");
  }

  bool is_class_escape(size_t at) const {
    return at + 1 < in_.size() && in_[at] == '\\' &&
           std::string_view("sSdDwWpP").find(in_[at + 1]) != std::string_view::npos;
  }

  void escape(bool in_set) {
    if (at_ + 1 >= in_.size()) refuse("a \\ without a character");
    const char c = in_[at_ + 1];
    if (kMarks.find(c) != std::string_view::npos || c == 'r' || c == 'n' || c == 't' || c == 'f')
      return copy(2);
    if (ignores_case_) refuse("something other than ASCII letters in a (?i: )");
    switch (c) {
      case 's':
        return replace("\\p{White_Space}");
      case 'S':
        return replace("\\P{White_Space}");
      case 'd':
        return replace("\\p{Nd}");
      case 'D':
        return replace("\\P{Nd}");
      case 'w':
        return replace(in_set ? std::string(kWord) : "[" + std::string(kWord) + "]");
      case 'W':
        if (in_set) refuse("\\W in a set");
        return replace("[^" + std::string(kWord) + "]");
      case 'p':
      case 'P':
        return property();
      case 'x':
      case 'u':
        return code_point();
      default:
        refuse(std::string("the escape \\") + c);
    }
  }

  void replace(const std::string& with) {
    at_ += 2;
    out_ += with;
  }

  void property() {
    const size_t end = in_.find('}', at_);
    if (at_ + 2 >= in_.size() || in_[at_ + 2] != '{' || end == std::string::npos)
      refuse("a \\p without {name}");
    const std::string name = in_.substr(at_ + 3, end - at_ - 3);
    const bool is_word = !name.empty() && std::all_of(name.begin(), name.end(), [](char c) {
      return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
    });
    if (!is_word) refuse("the property {" + name + "}");
    const bool is_category =
        std::find(kCategories.begin(), kCategories.end(), name) != kCategories.end();
    // By itself a script's name means the characters that several scripts share, too.
    out_ += in_.substr(at_, 3) + (is_category ? "" : "sc:") + name + "}";
    at_ = end + 1;
  }

  /// \x{1F600}, \x41, \u00E9.
  void code_point() {
    const bool braced = in_[at_ + 1] == 'x' && at_ + 2 < in_.size() && in_[at_ + 2] == '{';
    const size_t begin = at_ + (braced ? 3 : 2);
    size_t end = begin;
    while (end < in_.size() && std::isxdigit(static_cast<unsigned char>(in_[end])) != 0) ++end;
    if (!braced) end = std::min(end, begin + (in_[at_ + 1] == 'x' ? 2 : 4));
    const std::string digits = in_.substr(begin, end - begin);
    const bool good =
        braced ? !digits.empty() && digits.size() <= 6 && end < in_.size() && in_[end] == '}'
        : in_[at_ + 1] == 'u' ? digits.size() == 4
                              : digits.size() == 2 && digits[0] < '8';
    if (!good) refuse("a code point that is not complete");
    out_ += "\\x{" + digits + "}";
    at_ = end + (braced ? 1 : 0);
  }

  const std::string& in_;
  size_t at_ = 0;
  std::string out_;
  std::vector<bool> groups_;  ///< open ones: whether case was ignored outside
  bool ignores_case_ = false;
};

}  // namespace

std::string portable_pattern(const std::string& pattern) { return Translator(pattern).run(); }

std::string literal_pattern(const std::string& text) {
  std::string pattern;
  for (const char c : text) {
    if (kMarks.find(c) != std::string_view::npos) pattern += '\\';
    pattern += c;
  }
  return pattern;
}

}  // namespace lococo
