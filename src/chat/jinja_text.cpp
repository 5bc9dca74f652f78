#include "chat/jinja_text.h"

#include <algorithm>
#include <utility>

namespace lococo {
namespace {

constexpr std::string_view kBlanks = " \t\r\n";

std::string escaped(std::string_view content) {
  std::string text;
  for (const char c : content) {
    switch (c) {
      case '\n':
        text += "\\n";
        break;
      case '\t':
        text += "\\t";
        break;
      case '\r':
        text += "\\r";
        break;
      case '\'':
        text += "\\'";
        break;
      case '\\':
        text += "\\\\";
        break;
      default:
        text += c;
    }
  }
  return text;
}

char unescaped(char letter) {
  switch (letter) {
    case 'n':
      return '\n';
    case 't':
      return '\t';
    case 'r':
      return '\r';
    default:
      return letter;
  }
}

/// A literal's content up to `quote`, from `at` on, which moves behind the closing quote.
std::string read_literal(std::string_view text, char quote, size_t& at) {
  std::string content;
  for (; at < text.size() && text[at] != quote; ++at) {
    const bool escape = text[at] == '\\' && at + 1 < text.size();
    content += escape ? unescaped(text[++at]) : text[at];
  }
  ++at;
  return content;
}

void replace_all(std::string& text, std::string_view from, std::string_view to) {
  for (size_t at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size()))
    text.replace(at, from.size(), to);
}

/// Goes through a template from left to right, tag after tag.
class Reader {
 public:
  explicit Reader(std::string_view text) : text_(text) {
    if (text_.ends_with('\n')) text_.remove_suffix(1);  // as Jinja does
  }

  std::string read() {
    while (at_ < text_.size()) {
      const size_t tag = find_tag();
      plain(text_.substr(at_, tag - at_), tag);
      at_ = tag;
      if (at_ == text_.size()) break;
      if (text_[at_ + 1] == '#') {
        comment();
      } else {
        inside();
      }
    }
    return std::move(out_);
  }

 private:
  size_t find_tag() const {
    size_t at = text_.find('{', at_);
    while (at != std::string_view::npos && (at + 1 == text_.size() || !opens(text_[at + 1])))
      at = text_.find('{', at + 1);
    return std::min(at, text_.size());
  }

  static bool opens(char second) { return second == '{' || second == '%' || second == '#'; }

  /// Text between two tags, the second one beginning at `next`.
  void plain(std::string_view text, size_t next) {
    const bool at_line_start = at_ == 0 || text.find('\n') != std::string_view::npos;
    if (strips_right_) {
      text.remove_prefix(std::min(text.find_first_not_of(kBlanks), text.size()));
    } else if (after_block_ && text.starts_with('\n')) {
      text.remove_prefix(1);
    }
    if (next < text_.size()) {
      if (text_.substr(next).size() > 2 && text_[next + 2] == '-') {
        text = text.substr(0, text.find_last_not_of(kBlanks) + 1);
      } else if (text_[next + 1] != '{' && at_line_start) {
        const size_t end = text.find_last_not_of(" \t") + 1;
        if (end == 0 || text[end - 1] == '\n') text = text.substr(0, end);
      }
    }
    if (!text.empty()) out_ += "{{'" + escaped(text) + "'}}";
  }

  void comment() {
    const size_t end = text_.find("#}", at_ + 2);
    close(end, /*is_block=*/true);
  }

  /// A tag of code: {{ }} or {% %}.
  void inside() {
    const char closing = text_[at_ + 1] == '{' ? '}' : '%';
    out_ += text_.substr(at_, 2);
    at_ += 2;
    if (at_ < text_.size() && (text_[at_] == '-' || text_[at_] == '+')) ++at_;
    while (at_ < text_.size()) {
      const char c = text_[at_];
      if (c == '\'' || c == '"') {
        ++at_;
        out_ += "'" + escaped(read_literal(text_, c, at_)) + "'";
      } else if (c == closing && at_ + 1 < text_.size() && text_[at_ + 1] == '}') {
        if (out_.back() == '-') out_.pop_back();  // the mark of -%}
        out_ += {closing, '}'};
        return close(at_, /*is_block=*/closing == '%');
      } else {
        if (kBlanks.find(c) == std::string_view::npos) out_ += c;
        ++at_;
      }
    }
  }

  /// Remembers what the tag that ends with the two characters at `end` asks of the text behind it.
  void close(size_t end, bool is_block) {
    const bool ends = end < text_.size();
    strips_right_ = ends && text_[end - 1] == '-';
    after_block_ = is_block;
    at_ = ends ? end + 2 : text_.size();
  }

  std::string_view text_;
  std::string out_;
  size_t at_ = 0;
  bool strips_right_ = false, after_block_ = false;
};

}  // namespace

std::string canonical_template(std::string_view text) {
  std::string canonical = Reader(text).read();
  replace_all(canonical, "'+'", "");
  for (const std::string name : {"role", "content"})
    replace_all(canonical, "message." + name, "message['" + name + "']");
  return canonical;
}

std::string literal_at(std::string_view canonical, size_t begin) {
  return read_literal(canonical, '\'', begin);
}

}  // namespace lococo
