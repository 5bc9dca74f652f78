#include "tokenizer/utf8_text.h"

#include "tests/support/catch.h"

using namespace lococo;

TEST_CASE("Valid UTF-8 stays as it is", "[tokenizer]") {
  for (const char* const text : {"", "plain words, more than eight bytes", "\u00e9\u20ac\U0001F600",
                                 "\uD7FF\uE000\uFFFF\U0010FFFF", "12345678\u00e9"}) {
    CHECK(valid_utf8_prefix(text) == std::string_view(text).size());
    CHECK(replace_invalid_utf8(text) == text);
  }
  const std::string with_zero("a\0b", 3);
  CHECK(replace_invalid_utf8(with_zero) == with_zero);
}

// What Python's bytes.decode("utf-8", errors="replace") gives.
TEST_CASE("Bytes that are no UTF-8 become U+FFFD as in Python", "[tokenizer]") {
  const auto repaired = [](const std::string& bytes) { return replace_invalid_utf8(bytes); };
  CHECK(repaired("a\x80z") == "a\uFFFDz");
  CHECK(repaired("\xC0\xAF") == "\uFFFD\uFFFD");    // overlong
  CHECK(repaired("\xE2\x82") == "\uFFFD");          // begins the euro sign
  CHECK(repaired("\xE2\x82\x41") == "\uFFFD\x41");  // ... and does not end it
  CHECK(repaired("\xF0\x9F\x98") == "\uFFFD");      // begins an emoji
  CHECK(repaired("\xF0\x9F\x98\x80") == "\U0001F600");
  CHECK(repaired("\xED\xA0\x80") == "\uFFFD\uFFFD\uFFFD");            // a surrogate
  CHECK(repaired("\xE0\x80\x80") == "\uFFFD\uFFFD\uFFFD");            // overlong
  CHECK(repaired("\xF4\x90\x80\x80") == "\uFFFD\uFFFD\uFFFD\uFFFD");  // beyond U+10FFFF
  CHECK(repaired("\xF0\x9F\xF0\x9F\x98\x80") == "\uFFFD\U0001F600");
  CHECK(repaired("long enough\xFF and more") == "long enough\uFFFD and more");
  CHECK(valid_utf8_prefix("long enough\xFF") == 11);
}
