#include "dist/rank_report.h"

#include "tests/support/catch.h"

namespace lococo {

namespace {

RankReport example() { return {2, {true, 7, "a barrier (checkpoint)", {0, 3}}, 12.5, false}; }

}  // namespace

TEST_CASE("A report is read as it was written", "[dist][report]") {
  for (const RankReport& report :
       {example(), RankReport{0, {false, -1, "", {}}, 0, false}, RankReport{3, {}, 1e9, true}}) {
    const auto read = decode(encode(report, /*run=*/123, /*size=*/4), 123, 4);
    REQUIRE(read.has_value());
    CHECK(read->rank == report.rank);
    CHECK(read->activity == report.activity);
    CHECK(read->seconds == report.seconds);
    CHECK(read->ends == report.ends);
  }
}

TEST_CASE("What another run or anybody else sends is no report", "[dist][report]") {
  const std::string written = encode(example(), 123, 4);
  CHECK_FALSE(decode(written, 124, 4).has_value());
  CHECK_FALSE(decode(written, 123, 5).has_value());
  for (size_t length = 0; length < written.find(" a barrier"); ++length)
    CHECK_FALSE(decode(written.substr(0, length), 123, 4).has_value());
  for (const std::string text :
       {"", "\0\xff", "lococo-rank 123 4 9 1 0 7 1 0000 x", "lococo-rank 123 4 -1 1 0 7 1 0000 x",
        "lococo-rank 123 4 1 1 0 7 1 00000 x"}) {
    CHECK_FALSE(decode(text, 123, 4).has_value());
  }
}

}  // namespace lococo
