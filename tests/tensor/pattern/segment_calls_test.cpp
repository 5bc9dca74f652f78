#include "tensor/pattern/segment_calls.h"

#include "tests/support/catch.h"

using namespace lococo;

TEST_CASE("a document that lies in one segment of all heads is one call", "[tensor]") {
  constexpr int64_t H = 9, G = 3;
  const SegmentForm form = {/*group=*/8, /*shifted_heads=*/5, /*sinks=*/2};
  // The first shifted segment has four tokens.
  const Documents documents = {{{{0, 4}, {5, 6}}, {{2, 5}}}};
  const auto calls = segment_calls(form, documents, 2, H, G, 6);
  REQUIRE(calls.size() == 3);
  const std::vector<TokenRange> of_call = {{0, 4}, {5, 6}, {2, 5}};
  for (size_t i = 0; i < calls.size(); ++i) {
    CHECK(calls[i].causal());
    CHECK(calls[i].row == (i < 2 ? 0 : 1));
    CHECK(calls[i].rows == 1);
    CHECK(calls[i].heads.heads == H);
    CHECK(calls[i].heads.kv_heads == G);
    CHECK(calls[i].queries.begin == of_call[i].begin);
    CHECK(calls[i].queries.end() == of_call[i].end);
  }
  // One token more has a second shifted segment: 4 straight heads and 5 shifted ones, of which the
  // border cuts a group of three, and sinks for the shifted ones.
  CHECK(segment_calls(form, {{{{0, 5}}}}, 1, H, G, 5).size() == 2 + 2 * 3);
  CHECK(segment_calls({8, 0, 2}, {{{{0, 8}}}}, 1, H, G, 8).size() == 1);
  CHECK(segment_calls(form, {}, 3, H, G, 4).size() == 1);
}
