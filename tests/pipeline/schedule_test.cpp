#include "pipeline/schedule.h"

#include <algorithm>

#include "tests/support/catch.h"

using namespace lococo;

TEST_CASE("a stage never has more blocks in flight than its depth", "[pipeline]") {
  for (const int64_t depth : {1, 2, 3, 7}) {
    for (const int64_t blocks : {1, 2, 5, 12}) {
      int64_t forward = 0, backward = 0, most = 0;
      for (const Turn& turn : one_forward_one_backward(blocks, depth)) {
        CHECK(turn.block == (turn.forward ? forward : backward));  // each way in order
        ++(turn.forward ? forward : backward);
        CHECK(backward <= forward);
        most = std::max(most, forward - backward);
      }
      CHECK(forward == blocks);
      CHECK(backward == blocks);
      CHECK(most == std::min(depth, blocks));
    }
  }
}

TEST_CASE("the last stage turns each block round at once", "[pipeline]") {
  const std::vector<Turn> want = {{true, 0}, {false, 0}, {true, 1}, {false, 1}};
  CHECK((one_forward_one_backward(2, 1) == want));  // a turn has no text
}

TEST_CASE("a pipeline is idle for stages - 1 of blocks + stages - 1 turns", "[pipeline]") {
  // A forward turn takes one unit of time and a backward turn two; messages take none.
  for (const int64_t stages : {2, 3, 4}) {
    const int64_t blocks = 16;
    std::vector<std::vector<Turn>> turns;
    for (int64_t s = 0; s < stages; ++s)
      turns.push_back(one_forward_one_backward(blocks, stages - s));
    std::vector<size_t> next(turns.size(), 0);
    std::vector<int64_t> busy_until(turns.size(), 0);
    std::vector<std::vector<int64_t>> forward(turns.size()), backward(turns.size());
    for (bool moved = true; moved;) {
      moved = false;
      for (size_t s = 0; s < turns.size(); ++s) {
        if (next[s] == turns[s].size()) continue;
        const Turn turn = turns[s][next[s]];
        const auto block = static_cast<size_t>(turn.block);
        int64_t ready = 0;
        if (turn.forward && s > 0) {
          if (forward[s - 1].size() <= block) continue;
          ready = forward[s - 1][block];
        }
        if (!turn.forward && s + 1 < turns.size()) {
          if (backward[s + 1].size() <= block) continue;
          ready = backward[s + 1][block];
        }
        busy_until[s] = std::max(busy_until[s], ready) + (turn.forward ? 1 : 2);
        (turn.forward ? forward : backward)[s].push_back(busy_until[s]);
        ++next[s];
        moved = true;
      }
    }
    CHECK(busy_until.front() == 3 * (blocks + stages - 1));
  }
}
