#include "generate/stop_texts.h"

#include <algorithm>
#include <random>

#include "tests/support/catch.h"
#include "tests/support/user_error.h"

using namespace lococo;
using namespace lococo::testing;

TEST_CASE("what may become a stop text is held back until it is none", "[generate]") {
  StopTexts stops({"END", "EXIT"});
  CHECK(stops.add("the E") == "the ");
  CHECK(stops.add("N").empty());
  CHECK(stops.add("E") == "EN");
  CHECK(stops.add("X").empty());
  CHECK(stops.finish() == "EX");
  CHECK_FALSE(stops.found());
  CHECK(stops.add("a END b") == "a ");
  CHECK(stops.found());
  CHECK(stops.add("more").empty());
  CHECK(stops.finish().empty());
}

TEST_CASE("without stop texts everything is shown at once", "[generate]") {
  StopTexts stops({});
  CHECK(stops.add("END") == "END");
  CHECK(stops.finish().empty());
}

TEST_CASE("an empty stop text is refused", "[generate]") {
  CHECK_CONTAINS(user_error_of([] { StopTexts({"a", ""}); }), "generate.stop");
}

TEST_CASE("an answer ends at the same place however it is cut into pieces", "[generate]") {
  std::mt19937 random(1);
  const auto letters = [&](size_t count) {
    std::string text;
    while (text.size() < count) text += static_cast<char>('a' + random() % 3);
    return text;
  };
  int ended = 0;
  for (int round = 0; round < 2000; ++round) {
    const std::vector<std::string> texts = {letters(1 + random() % 5), letters(2 + random() % 5)};
    const std::string text = letters(random() % 12);
    // The slow form: after each letter, does the text end with one of them?
    std::string want = text;
    bool found = false;
    for (size_t end = 1; end <= text.size() && !found; ++end) {
      size_t begin = end;
      for (const auto& stop : texts) {
        if (text.substr(0, end).ends_with(stop)) begin = std::min(begin, end - stop.size());
      }
      found = begin < end;
      if (found) want = text.substr(0, begin);
    }
    StopTexts stops(texts);
    std::string got;
    for (size_t begin = 0; begin < text.size();) {
      const size_t length = 1 + random() % 4;
      got += stops.add(text.substr(begin, length));
      begin += length;
    }
    got += stops.finish();
    INFO(text << " stops " << texts[0] << " " << texts[1]);
    CHECK(got == want);
    CHECK(stops.found() == found);
    ended += found ? 1 : 0;
  }
  CHECK(ended > 500);
  CHECK(ended < 1900);
}
