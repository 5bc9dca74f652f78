#include "config/scalar_reader.h"

#include <charconv>
#include <cmath>
#include <system_error>

#include "core/error.h"

namespace lococo {
namespace {

using Kind = YamlNode::Kind;

}  // namespace

void ScalarReader::fail(const std::string& what) const { throw UserError(where_ + ": " + what); }

bool ScalarReader::is_null(const YamlNode& node) {
  if (node.kind == Kind::kNull) return true;
  const std::string& text = node.text;
  return node.kind == Kind::kScalar && !node.quoted &&
         (text.empty() || text == "~" || text == "null" || text == "Null" || text == "NULL");
}

template <typename Integer>
Integer ScalarReader::integer(const YamlNode& node, Integer least, Integer most) const {
  const bool plain = node.kind == Kind::kScalar && !node.quoted;
  const std::string& text = node.text;
  const size_t digits = !text.empty() && (text[0] == '+' || text[0] == '-') ? 1 : 0;
  if (!plain || text.size() == digits ||
      text.find_first_not_of("0123456789", digits) != std::string::npos) {
    fail("expected an integer, got " + describe(node));
  }
  Integer value = 0;
  const char* begin = text.data() + (text[0] == '+' ? 1 : 0);
  const auto result = std::from_chars(begin, text.data() + text.size(), value);
  if (result.ec != std::errc() || value < least || value > most) {
    fail(text + " is out of range; use an integer from " + std::to_string(least) + " to " +
         std::to_string(most));
  }
  return value;
}

template int64_t ScalarReader::integer(const YamlNode&, int64_t, int64_t) const;
template uint64_t ScalarReader::integer(const YamlNode&, uint64_t, uint64_t) const;

double ScalarReader::number(const YamlNode& node, const std::string& inner) const {
  const bool plain = node.kind == Kind::kScalar && !node.quoted;
  const std::string& text = node.text;
  const bool signed_twice = text.size() > 1 && text[0] == '+' && text[1] == '-';
  const char* begin = text.data() + (!text.empty() && text[0] == '+' ? 1 : 0);
  const char* end = text.data() + text.size();
  double value = 0.0;
  const auto result = std::from_chars(begin, end, value);
  const bool whole = plain && !signed_twice && begin != end && result.ptr == end;
  if (!whole || result.ec != std::errc() || !std::isfinite(value)) {
    fail(inner + "expected a number, got " + describe(node));
  }
  return value;
}

std::string ScalarReader::text(const YamlNode& node) const {
  if (node.kind != Kind::kScalar || is_null(node)) {
    fail("expected text, got " + describe(node) + "; put text with special characters in quotes");
  }
  if (node.text.find('\0') != std::string::npos) fail("the text holds a zero byte; remove it");
  return node.text;
}

std::string ScalarReader::text_or_empty(const YamlNode& node) const {
  return is_null(node) ? "" : text(node);
}

std::string describe(const YamlNode& node) {
  constexpr size_t kLongest = 60;
  switch (node.kind) {
    case Kind::kNull:
      return "nothing";
    case Kind::kList:
      return "a list";
    case Kind::kMap:
      return "a map";
    case Kind::kScalar:
      break;
  }
  const bool whole = node.text.size() <= kLongest;
  return "\"" + node.text.substr(0, kLongest) + (whole ? "\"" : "...\"");
}

}  // namespace lococo
