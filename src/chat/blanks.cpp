#include "chat/blanks.h"

#include <algorithm>
#include <iterator>
#include <string_view>

namespace lococo {
namespace {

constexpr std::string_view kBlanks[] = {" ",      "\t",     "\n",     "\v",     "\f",     "\r",
                                        "\x1c",   "\x1d",   "\x1e",   "\x1f",   "\u0085", "\u00a0",
                                        "\u1680", "\u2000", "\u2001", "\u2002", "\u2003", "\u2004",
                                        "\u2005", "\u2006", "\u2007", "\u2008", "\u2009", "\u200a",
                                        "\u2028", "\u2029", "\u202f", "\u205f", "\u3000"};

template <class Predicate>
size_t length_of_blank(Predicate is_at_end) {
  const auto found = std::find_if(std::begin(kBlanks), std::end(kBlanks), is_at_end);
  return found == std::end(kBlanks) ? 0 : found->size();
}

}  // namespace

std::string strip_left(const std::string& text) {
  std::string_view rest = text;
  const auto begins = [&](std::string_view blank) { return rest.starts_with(blank); };
  while (const size_t length = length_of_blank(begins)) rest.remove_prefix(length);
  return std::string(rest);
}

std::string strip_right(const std::string& text) {
  std::string_view rest = text;
  const auto ends = [&](std::string_view blank) { return rest.ends_with(blank); };
  while (const size_t length = length_of_blank(ends)) rest.remove_suffix(length);
  return std::string(rest);
}

}  // namespace lococo
