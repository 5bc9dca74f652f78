#include "tokenizer/pattern_syntax.h"

#include "tests/support/catch.h"
#include "tests/support/user_error.h"
#include "tokenizer/pattern.h"

using namespace lococo;
using namespace lococo::testing;

namespace {

bool matches(const std::string& pattern, const std::string& text) {
  const auto found = Pattern(portable_pattern(pattern)).find(text, 0);
  return found && found->begin == 0 && found->end == text.size();
}

}  // namespace

// Checked for every code point against the package tokenizers 0.22.2.
TEST_CASE("Classes of characters mean what they mean to Oniguruma", "[tokenizer]") {
  CHECK(matches(R"(\s)", "\u3000"));
  CHECK(matches(R"([^\S])", "\u0085"));
  CHECK(!matches(R"(\s)", "\u180E"));  // white space to PCRE2
  CHECK(matches(R"(\S)", "\u180E"));
  CHECK(matches(R"(\w)", "\u0301"));
  CHECK(matches(R"([\w-])", "-"));
  CHECK(matches(R"(\w)", "\u00BD"));
  CHECK(matches(R"(\W)", "\u09F4"));  // a numeral beyond Latin-1
  CHECK(matches(R"(\d)", "\u0663"));
  CHECK(!matches(R"(\d)", "\u00B2"));
  CHECK(matches(R"(\p{Han})", "\u6F22"));
  CHECK(!matches(R"(\p{Han})", "\u3001"));  // shared by several scripts
  CHECK(matches(R"((?i:'s))", "'\u017F"));
  CHECK(matches(R"(.)", "\r"));
  CHECK(!matches(R"(.)", "\n"));
  CHECK(matches(R"(\x{1F600}\u00e9\x41)", "\U0001F600\u00E9A"));
}

TEST_CASE("The patterns of GPT-2, Llama-3 and GPT-4o are read", "[tokenizer]") {
  for (
      const char* const pattern :
      {R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)",
       R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)",
       R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)",
       R"([^\r\n\p{L}\p{N}]?+\p{L}+| ?[^\s\p{L}\p{N}]++[\r\n]*)"})
    Pattern{portable_pattern(pattern)};
}

TEST_CASE("What the two libraries may take differently is refused by name", "[tokenizer]") {
  const auto refused = [](const std::string& pattern, const std::string& because) {
    CHECK_CONTAINS(user_error_of([&] { portable_pattern(pattern); }), because);
  };
  refused("a$", "the anchor $ at byte 1");
  refused("^a", "the anchor ^");
  refused(R"(\bword)", R"(the escape \b)");
  refused(R"(\h)", R"(the escape \h)");
  refused(R"((a)\1)", R"(the escape \1)");
  refused(R"([\W])", R"(\W in a set)");
  refused("[a[bc]]", "a set within a set");
  refused("[a-z&&[^b]]", "an intersection");
  refused("[]a]", "begins with ]");
  refused("[abc", "a set without ]");
  refused(R"([a-\d])", "a range that a class");
  refused("(?m:a.b)", "the group (?m");
  refused("(?i)a", "the group (?i");
  refused("(?<name>a)", "the group (?<");
  refused("(*FAIL)", "the group (*F");
  refused("a)", "a ) without (");
  refused("(?i:\u00e9)", "other than ASCII letters");
  refused(R"((?i:\p{Lu}))", "other than ASCII letters");
  refused("(?i:[a-z])", "a set in a (?i: )");
  refused("(?i:stop)", "the letters st");
  refused("a{2,3}+", "a repetition of a repetition");
  refused("a{,3}", "a { that is no repetition");
  refused("a\\", "without a character");
  refused(R"(\p{^L})", "the property {^L}");
  refused(R"(\pL)", R"(a \p without {name})");
  refused(R"(\x{110000000})", "a code point");
}

TEST_CASE("A text as a pattern matches itself", "[tokenizer]") {
  const std::string text = R"(a.b*c[d](e)\f{2}|^$?+ '#-/)";
  const auto found = Pattern(literal_pattern(text)).find("xx" + text, 0);
  REQUIRE(found);
  CHECK(found->begin == 2);
  CHECK(found->end == 2 + text.size());
}
