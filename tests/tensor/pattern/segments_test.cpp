#include "tensor/pattern/segments.h"

#include "tests/support/catch.h"

using namespace lococo;

namespace {

/// The edges of a row's segments, both ends included.
std::vector<int64_t> edges(int64_t L, int64_t group, bool shifted) {
  std::vector<int64_t> result = {0};
  for (const SegmentRun& run : segment_runs({0, L}, group, shifted)) {
    for (int64_t i = 1; i <= run.count; ++i) result.push_back(run.begin + i * run.length);
  }
  return result;
}

using Edges = std::vector<int64_t>;

}  // namespace

TEST_CASE("segments have LongLoRA's edges, without one that wraps around", "[tensor]") {
  CHECK(edges(16, 4, false) == Edges{0, 4, 8, 12, 16});
  CHECK(edges(16, 4, true) == Edges{0, 2, 6, 10, 14, 16});
  // The official plain form of an odd group lets a query see the next token.
  CHECK(edges(20, 5, true) == Edges{0, 2, 7, 12, 17, 20});
  CHECK(edges(10000, 8192, false) == Edges{0, 8192, 10000});
  CHECK(edges(10000, 8192, true) == Edges{0, 4096, 10000});
  CHECK(edges(6000, 8192, false) == Edges{0, 6000});
  CHECK(edges(6000, 8192, true) == Edges{0, 4096, 6000});
  CHECK(edges(9, 4, false) == Edges{0, 4, 8, 9});
  CHECK(edges(9, 4, true) == Edges{0, 2, 6, 9});
  CHECK(edges(3, 1, true) == Edges{0, 1, 2, 3});
  CHECK(edges(1, 4, true) == Edges{0, 1});
}

TEST_CASE("the edges of segments are where the closed form counts on", "[tensor]") {
  for (const bool shifted : {false, true}) {
    for (int64_t group = 1; group < 9; ++group) {
      for (int64_t L = 1; L < 30; ++L) {
        Edges want = {0};
        for (int64_t i = 1; i < L; ++i) {
          if (segment_of(i, group, shifted) != segment_of(i - 1, group, shifted)) want.push_back(i);
        }
        want.push_back(L);
        CHECK(edges(L, group, shifted) == want);
      }
    }
  }
}

TEST_CASE("segments of a document are those of a row, moved", "[tensor]") {
  const auto row = segment_runs({0, 23}, 5, true), document = segment_runs({7, 30}, 5, true);
  REQUIRE(row.size() == document.size());
  for (size_t i = 0; i < row.size(); ++i) {
    CHECK(document[i].begin == row[i].begin + 7);
    CHECK(document[i].count == row[i].count);
    CHECK(document[i].length == row[i].length);
  }
}

TEST_CASE("runs of heads share their key-value heads evenly and leave none out", "[tensor]") {
  for (const int64_t group_size : {1, 2, 3, 8}) {
    for (int64_t begin = 0; begin < 12; ++begin) {
      for (int64_t end = begin; end < 17; ++end) {
        int64_t head = begin;
        for (const HeadRun& run : head_runs(begin, end, group_size)) {
          CHECK(run.head == head);
          REQUIRE(run.kv_heads > 0);
          CHECK(run.heads % run.kv_heads == 0);
          const int64_t shared = run.heads / run.kv_heads;
          for (int64_t h = 0; h < run.heads; ++h)
            CHECK((run.head + h) / group_size == run.kv_head + h / shared);
          head += run.heads;
        }
        CHECK(head == end);
      }
    }
  }
}
