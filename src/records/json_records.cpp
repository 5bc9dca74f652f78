#include "records/json_records.h"

#include <fstream>
#include <nlohmann/json.hpp>
#include <vector>

#include "core/error.h"
#include "core/files.h"
#include "core/json_file.h"
#include "data/documents.h"
#include "data/line_reader.h"

namespace lococo {
namespace {

bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }

bool is_blank_text(const std::string& text) {
  return text.find_first_not_of(" \t\r\n") == std::string::npos;
}

void hand_over(const std::string& text, const std::string& place,
               const JsonRecordCallback& callback) {
  if (find_invalid_utf8(text) != std::string::npos) {
    throw UserError(place + ": the record is not UTF-8; convert the file, for example with iconv");
  }
  const nlohmann::json record = parse_json_line(text, place);
  if (!record.is_object()) {
    throw UserError(place + ": the record is no JSON object but " + record.type_name());
  }
  callback(record, place);
}

/// The characters of a file with their line numbers.
class Characters {
 public:
  explicit Characters(const std::string& path) : file_(path, std::ios::binary), buffer_(1 << 20) {
    if (!file_) throw UserError(path + ": cannot be read");
  }

  /// False at the end of the file.
  bool next(char* c) {
    if (at_ == filled_ && !fill()) return false;
    *c = buffer_[at_++];
    line_ += *c == '\n';
    return true;
  }

  int64_t line() const { return line_; }  ///< where the next character stands

 private:
  bool fill() {
    file_.read(buffer_.data(), static_cast<std::streamsize>(buffer_.size()));
    filled_ = static_cast<size_t>(file_.gcount());
    at_ = 0;
    return filled_ > 0;
  }

  std::ifstream file_;
  std::vector<char> buffer_;
  size_t at_ = 0, filled_ = 0;
  int64_t line_ = 1;
};

/// A list's objects: only as much of JSON is understood as tells where one ends.
class ListReader {
 public:
  ListReader(const std::string& path, const JsonRecordCallback& callback)
      : path_(path), callback_(callback), characters_(path) {}

  void run() {
    char c = next_visible();  // the bracket
    c = next_visible();
    if (c == ']') throw UserError(path_ + ": holds no records");
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
    hand_over(text, path_ + ":" + std::to_string(line), callback_);
  }

  const std::string& path_;
  const JsonRecordCallback& callback_;
  Characters characters_;
};

void for_each_line(const std::string& path, const JsonRecordCallback& callback) {
  LineReader reader(path);
  bool any = false;
  for (std::string line; reader.next(&line);) {
    if (is_blank_text(line)) continue;
    any = true;
    hand_over(line, path + ":" + std::to_string(reader.line_number()), callback);
  }
  if (!any) throw UserError(path + ": holds no records");
}

bool is_list(const std::string& path) {
  Characters characters(path);
  for (char c = 0; characters.next(&c);) {
    if (!is_blank(c)) return c == '[';
  }
  return false;
}

}  // namespace

void for_each_json_record(const std::string& path, const JsonRecordCallback& callback) {
  LineReader check(path);  // says what is no regular file
  if (!path.ends_with(".zst") && is_list(path)) {
    ListReader(path, callback).run();
  } else {
    for_each_line(path, callback);
  }
}

}  // namespace lococo
