#include "data/recent.h"

#include "tests/support/catch.h"

using namespace lococo;

TEST_CASE("a value is made once as long as it is among the last few", "[data]") {
  Recent<int, int> squares;
  int made = 0;
  const auto square = [&](int x) {
    return squares.get(x, [&] {
      ++made;
      return x * x;
    });
  };
  for (int turn = 0; turn < 4; ++turn) {
    for (int x = 0; x < static_cast<int>(Recent<int, int>::kMostKept); ++x)
      CHECK(square(x) == x * x);
  }
  CHECK(made == static_cast<int>(Recent<int, int>::kMostKept));
  CHECK(square(10) == 100);  // in place of 0
  CHECK(square(1) == 1);
  CHECK(made == static_cast<int>(Recent<int, int>::kMostKept) + 1);
  CHECK(square(0) == 0);
  CHECK(made == static_cast<int>(Recent<int, int>::kMostKept) + 2);
}
