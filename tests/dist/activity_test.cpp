#include "dist/activity.h"

#include <utility>

#include "core/progress_count.h"
#include "tests/support/catch.h"

namespace lococo {

TEST_CASE("What a process waits in is named with what it is for", "[dist][activity]") {
  note_step(7);
  CHECK(current_activity({}) == Activity{false, 7, "", {}});
  {
    const Doing outer("evaluation");
    const Doing inner("checkpoint");
    CHECK(current_activity({}) == Activity{false, 7, "checkpoint", {}});
    const HostWait wait("a barrier", {0, 2});
    CHECK(current_activity({}) == Activity{true, 7, "a barrier (checkpoint)", {0, 2}});
  }
  {
    const HostWait for_nobody("a barrier", {});
    CHECK(current_activity({}) == Activity{false, 7, "", {}});
  }
  note_step(-1);
}

TEST_CASE("A GPU waits in the first operation that it has reached and not left",
          "[dist][activity]") {
  note_stream_wait(1, "a sum over ranks", {1});
  note_stream_wait(2, "a message from stage 0", {0});
  CHECK_FALSE(current_activity({0, 0}).waits);  // it still computes
  CHECK(current_activity({1, 0}) == Activity{true, -1, "a sum over ranks", {1}});
  CHECK_FALSE(current_activity({1, 1}).waits);
  CHECK(current_activity({2, 1}) == Activity{true, -1, "a message from stage 0", {0}});
  CHECK_FALSE(current_activity({2, 2}).waits);
}

TEST_CASE("Whatever comes on can be told by the count", "[dist][activity]") {
  auto grown = [before = activity_count({})](uint64_t after) mutable {
    return std::exchange(before, after) < after;
  };
  CHECK_FALSE(grown(activity_count({})));
  note_progress();
  CHECK(grown(activity_count({})));
  { const HostWait wait("a barrier", {1}); }
  CHECK(grown(activity_count({})));
  CHECK(grown(activity_count({1, 0})));
  CHECK(grown(activity_count({1, 1})));
}

TEST_CASE("Who waits for standard input comes on for as long as that takes", "[dist][activity]") {
  {
    const InputWait wait;
    const uint64_t first = activity_count({});
    CHECK(activity_count({}) > first);
  }
  const uint64_t after = activity_count({});
  CHECK(activity_count({}) == after);
}

}  // namespace lococo
