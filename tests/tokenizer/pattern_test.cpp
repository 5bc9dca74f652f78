#include "tokenizer/pattern.h"

#include "tests/support/catch.h"
#include "tests/support/user_error.h"

using namespace lococo;
using namespace lococo::testing;

TEST_CASE("A pattern finds the first match from a place on", "[tokenizer]") {
  const Pattern pattern("[0-9]+");
  const auto first = pattern.find("a12b345", 0);
  REQUIRE(first);
  CHECK(first->begin == 1);
  CHECK(first->end == 3);
  CHECK(pattern.find("a12b345", first->end)->begin == 4);
  CHECK(!pattern.find("a12b345", 7));
  CHECK(!pattern.find("", 0));
}

TEST_CASE("What is no regular expression is refused", "[tokenizer]") {
  CHECK_CONTAINS(user_error_of([] { Pattern("(a"); }), "the pattern (a is no regular expression");
  CHECK_CONTAINS(user_error_of([] { Pattern("\\p{sc:Nowhere}"); }), "no regular expression");
}

TEST_CASE("A search that takes too many steps ends with a message", "[tokenizer]") {
  const Pattern pattern("(?:a|aa)+[bc]");
  CHECK_CONTAINS(user_error_of([&] { pattern.find(std::string(200, 'a'), 0); }), "gives up");
}

TEST_CASE("Long runs are matched at once", "[tokenizer]") {
  const Pattern pattern("\\s+(?!\\S)|\\s+|[^\\s]+");
  const std::string text = std::string(3'000'000, ' ') + "x";
  CHECK(pattern.find(text, 0)->end == 2'999'999);
  CHECK(pattern.find(std::string(3'000'000, 'x'), 0)->end == 3'000'000);
}
