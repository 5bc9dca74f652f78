#include "tokenizer/utf8_text.h"

#include "tests/support/catch.h"
#include "tests/support/user_error.h"

using namespace lococo;
using namespace lococo::testing;

TEST_CASE("Valid UTF-8 stays as it is", "[tokenizer]") {
  for (const char* const text : {"", "plain words, more than eight bytes", "\u00e9\u20ac\U0001F600",
                                 "\uD7FF\uE000\uFFFF\U0010FFFF", "12345678\u00e9"}) {
    CHECK(find_invalid_utf8(text) == std::string_view::npos);
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
}

TEST_CASE("UTF-8 is checked strictly and the first bad byte is named", "[tokenizer]") {
  CHECK(find_invalid_utf8("plain \u00e9 \u65e5 \U0001F642") == std::string_view::npos);
  CHECK(find_invalid_utf8(std::string("nul \0 byte", 10)) == std::string_view::npos);
  CHECK(find_invalid_utf8("long enough\xFF") == 11);
  CHECK(find_invalid_utf8("ab\x80") == 2);            // continuation without a lead
  CHECK(find_invalid_utf8("a\xC3") == 1);             // cut off
  CHECK(find_invalid_utf8("\xC0\xAF") == 0);          // overlong
  CHECK(find_invalid_utf8("\xE0\x9F\xBF") == 0);      // overlong
  CHECK(find_invalid_utf8("x\xED\xA0\x80") == 1);     // surrogate
  CHECK(find_invalid_utf8("\xF0\x8F\xBF\xBF") == 0);  // overlong
  CHECK(find_invalid_utf8("\xF4\x90\x80\x80") == 0);  // above U+10FFFF
  CHECK(find_invalid_utf8("\xF4\x8F\xBF\xBF") == std::string_view::npos);
  CHECK_NOTHROW(check_utf8("caf\u00e9", "a.txt"));
  CHECK(user_error_of([] { check_utf8("caf\xE9", "a.txt"); }) ==
        "a.txt: byte 3 of the text is not UTF-8; convert it, for example with iconv");
}
