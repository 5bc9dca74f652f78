#include "records/json_records.h"

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.h"
#include "data/json_lines.h"
#include "data/line_reader.h"
#include "data/text_file.h"

namespace lococo {
namespace {

bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }

/// What editors on Windows begin a text in UTF-8 with.
constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";

/// The characters of a file, behind the mark that it may begin with, with their line numbers.
class Characters {
 public:
  explicit Characters(const std::string& path) : file_(path), buffer_(1 << 20) {
    while (filled_ < kByteOrderMark.size() && fill()) continue;
    if (std::string_view(buffer_.data(), filled_).starts_with(kByteOrderMark))
      offset_ = at_ = kByteOrderMark.size();
  }

  /// False at the end of the file.
  bool next(char* c) {
    if (at_ == filled_) {
      at_ = filled_ = 0;
      if (!fill()) return false;
    }
    *c = buffer_[at_++];
    line_ += *c == '\n';
    ++offset_;
    return true;
  }

  int64_t line() const { return line_; }       ///< where the next character stands
  uint64_t offset() const { return offset_; }  ///< its byte in the file

 private:
  /// Adds to the buffer; false at the end of the file.
  bool fill() {
    const size_t got = file_.read(buffer_.data() + filled_, buffer_.size() - filled_);
    filled_ += got;
    return got > 0;
  }

  TextFile file_;
  std::vector<char> buffer_;
  size_t at_ = 0, filled_ = 0;
  int64_t line_ = 1;
  uint64_t offset_ = 0;
};

/// A list's objects: only as much of JSON is understood as tells where one ends.
class ListReader {
 public:
  ListReader(const std::string& path, const JsonCallback& callback)
      : path_(path), callback_(callback), characters_(path) {}

  void run() {
    char c = next_visible();  // the bracket
    c = next_visible();
    if (c == ']') fail_without_records(path_);
    for (;; c = next_visible()) {
      read_object(c);
      c = next_visible();
      if (c == ']') break;
      if (c != ',') fail(characters_.line(), "a comma or the end of the list should stand here");
    }
    for (char rest = 0; characters_.next(&rest);) {
      if (!is_blank(rest)) fail(characters_.line(), "something stands behind the list");
    }
  }

 private:
  [[noreturn]] void fail(int64_t line, const std::string& what) const {
    throw UserError(path_ + ":" + std::to_string(line) + ": " + what);
  }

  char next_visible() {
    char c = 0;
    while (characters_.next(&c)) {
      if (!is_blank(c)) return c;
    }
    fail(characters_.line(), "the list does not end: the file is cut short");
  }

  void read_object(char first) {
    const int64_t line = characters_.line();
    const uint64_t offset = characters_.offset() - 1;
    if (first != '{') fail(line, "a record should begin here: an object {...}");
    std::string text(1, first);
    int64_t depth = 1;
    bool in_string = false, is_escaped = false;
    for (char c = 0; depth > 0;) {
      if (!characters_.next(&c)) fail(line, "the record does not end: the file is cut short");
      text += c;
      if (text.size() > kLongestLine) fail(line, "the record is longer than 256 MB");
      if (in_string) {
        in_string = is_escaped || c != '"';
        is_escaped = !is_escaped && c == '\\';
      } else {
        in_string = c == '"';
        depth += c == '{' || c == '[';
        depth -= c == '}' || c == ']';
      }
    }
    const std::string place = path_ + ":" + std::to_string(line);
    nlohmann::json record = parse_json_object(text, place, offset);
    callback_(record, place);
  }

  const std::string& path_;
  const JsonCallback& callback_;
  Characters characters_;
};

bool is_list(const std::string& path) {
  Characters characters(path);
  for (char c = 0; characters.next(&c);) {
    if (!is_blank(c)) return c == '[';
  }
  return false;
}

}  // namespace

void for_each_json_record(const std::string& path, const JsonCallback& callback) {
  if (is_list(path)) {
    ListReader(path, callback).run();
  } else {
    for_each_json_line(path, callback);
  }
}

}  // namespace lococo
