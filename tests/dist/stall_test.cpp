#include "dist/stall.h"

#include "tests/support/catch.h"

namespace lococo {
namespace {

constexpr double kTimeout = 20;

KnownRank waiting(std::vector<int> awaited, double seconds, const std::string& what = "a barrier",
                  int64_t step = 7) {
  return {{0, {true, step, what, std::move(awaited)}, seconds}, /*heard=*/true, /*silent_s=*/0};
}

KnownRank working(double seconds, double silent_s = 0, const std::string& what = "") {
  return {{0, {false, 7, what, {}}, seconds}, /*heard=*/true, silent_s};
}

std::string stall(int self, const std::vector<KnownRank>& ranks) {
  return describe_stall(self, ranks, kTimeout).value_or("");
}

}  // namespace

TEST_CASE("A rank that was heard of too long ago is named with what it was last at",
          "[dist][stall]") {
  const std::vector<KnownRank> ranks = {waiting({1, 2}, 20, "a sum over ranks (gradients)"),
                                        waiting({0, 2}, 20), working(1, 20)};
  CHECK(stall(0, ranks) ==
        "a sum over ranks (gradients) has waited 20 s for rank 2, of which nothing was heard for "
        "20 s (last: step 7, at work)");
}

TEST_CASE("A rank that lives and works is waited for as long as it comes on", "[dist][stall]") {
  CHECK(stall(0, {waiting({1}, 500), working(19)}).empty());
  CHECK(stall(0, {waiting({1}, 500), working(10, 9)}).empty());
  CHECK(stall(0, {waiting({1}, 500), working(20, 0, "checkpoint")}) ==
        "a barrier has waited 500 s for rank 1, which lives but has not come on for 20 s (step 7, "
        "at work (checkpoint))");
}

TEST_CASE("Nobody is blamed before a rank has waited for the whole time", "[dist][stall]") {
  CHECK(stall(0, {waiting({1}, 19.9), working(0, 100)}).empty());
  CHECK(stall(0, {working(100), working(0, 100)}).empty());
}

TEST_CASE("Who waits for another is not to blame, but the one at the end of the chain",
          "[dist][stall]") {
  const std::vector<KnownRank> chain = {waiting({1}, 30, "a message from stage 1"),
                                        waiting({2}, 2, "a message from stage 2"), working(0, 25),
                                        working(60)};
  const std::string said = stall(0, chain);
  CHECK(said.find("rank 2, of which nothing was heard for 25 s") != std::string::npos);
  CHECK(said.find("rank 1,") == std::string::npos);
  CHECK(said.find("rank 3") == std::string::npos);  // nobody waits for it
}

TEST_CASE("A silent rank is blamed before those that only work", "[dist][stall]") {
  const std::string said = stall(0, {waiting({1, 2}, 30), working(30), working(0, 30)});
  CHECK(said.find("rank 2,") != std::string::npos);
  CHECK(said.find("rank 1,") == std::string::npos);
}

TEST_CASE("A rank that was never heard of may be behind a wall", "[dist][stall]") {
  KnownRank unknown;
  unknown.silent_s = 20;
  CHECK(stall(0, {waiting({1}, 20), unknown}).find("UDP") != std::string::npos);
}

TEST_CASE("Ranks that all wait for each other end too, once all have for the whole time",
          "[dist][stall]") {
  CHECK(stall(0, {waiting({1}, 20, "a barrier"), waiting({0}, 20, "a broadcast")}) ==
        "a barrier has waited 20 s for ranks that wait themselves: rank 1 (step 7, in a "
        "broadcast)");
  CHECK(stall(0, {waiting({1}, 40, "a barrier"), waiting({0}, 19, "a broadcast")}).empty());
}

TEST_CASE("The first living rank that waits in vain speaks for all", "[dist][stall]") {
  CHECK(spokesman_of({working(0, 30), waiting({0}, 20), waiting({0}, 20)}, kTimeout, 3) == 1);
  CHECK(spokesman_of({waiting({1}, 3), waiting({0}, 20)}, kTimeout, 3) == 1);
  CHECK(spokesman_of({waiting({1}, 3), working(20)}, kTimeout, 3) == -1);
}

}  // namespace lococo
