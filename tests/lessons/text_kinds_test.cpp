#include "lessons/text_kinds.h"

#include "core/target_kind.h"
#include "tests/support/catch.h"

using namespace lococo;

TEST_CASE("A text's targets are far where their bigram is long past", "[lessons]") {
  constexpr auto kText = static_cast<uint8_t>(TargetKind::kText);
  constexpr auto kFar = static_cast<uint8_t>(TargetKind::kFar);
  const std::vector<int64_t> tokens = {1, 2, 3, 4, 1, 2, 1, 2, 5};
  CHECK(text_kinds(tokens, 3) ==
        std::vector<uint8_t>{kText, kText, kText, kText, kFar, kText, kText, kText});
  CHECK(text_kinds(tokens, 4) == std::vector<uint8_t>(8, kText));
}
