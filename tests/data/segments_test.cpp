#include "data/segments.h"

#include "data/repeats.h"
#include "tests/data/token_samples.h"
#include "tests/support/catch.h"
#include "tests/support/temporary_folder.h"

using namespace lococo;
using namespace lococo::testing;

namespace {

using Starts = std::vector<std::pair<int64_t, int64_t>>;

Starts starts_of(const std::vector<Segment>& segments) {
  Starts starts;
  for (const Segment& segment : segments) starts.emplace_back(segment.document, segment.begin);
  return starts;
}

std::shared_ptr<const TokenFile> open(const std::string& path,
                                      const std::vector<int64_t>& lengths) {
  constexpr int64_t kVocabulary = 3000;
  return std::make_shared<const TokenFile>(
      write_tokens(path, counted_documents(lengths), kVocabulary));
}

/// A few letters: n new, e near, f far.
std::string kinds_of(const std::vector<int64_t>& tokens, int64_t far) {
  std::string letters;
  const auto n = static_cast<int64_t>(tokens.size()) - 1;
  for (const Repeat kind : classify_targets(tokens.data(), n, far)) {
    letters += kind == Repeat::kNew ? 'n' : kind == Repeat::kNear ? 'e' : 'f';
  }
  return letters;
}

}  // namespace

TEST_CASE("Segments start at multiples of the stride where n + 1 tokens are left", "[data]") {
  const TemporaryFolder folder;
  // With n = 4: a document of 5 tokens is one segment, one of 9 two.
  const auto file = open(folder / "a.tokens", {5, 6, 9, 10, 0, 14});
  CHECK(starts_of(make_segments({file}, 4, 0, 0, 1000)) ==
        Starts{{0, 0}, {1, 0}, {2, 0}, {2, 4}, {3, 0}, {3, 4}, {5, 0}, {5, 4}, {5, 8}});
  CHECK(starts_of(make_segments({file}, 4, 4, 0, 1000)) ==
        starts_of(make_segments({file}, 4, 0, 0, 1000)));
  CHECK(starts_of(make_segments({file}, 4, 3, 0, 1000)) ==
        Starts{{0, 0}, {1, 0}, {2, 0}, {2, 3}, {3, 0}, {3, 3}, {5, 0}, {5, 3}, {5, 6}, {5, 9}});
  CHECK(starts_of(make_segments({file}, 4, 3, 2, 1000)) ==
        Starts{{0, 0}, {1, 0}, {2, 0}, {2, 3}, {3, 0}, {3, 3}, {5, 0}, {5, 3}});
  CHECK(starts_of(make_segments({file}, 4, 0, 1, 15)) == Starts{{0, 0}, {1, 0}, {2, 0}});
  CHECK(make_segments({file}, 4, 0, 0, 3).empty());
  CHECK(make_segments({file}, 100, 0, 0, 1000).empty());
}

TEST_CASE("A segment's tokens are its inputs and the last target", "[data]") {
  const TemporaryFolder folder;
  const auto file = open(folder / "a.tokens", {3, 14});
  const auto segments = make_segments({file}, 4, 0, 0, 1000);
  REQUIRE(segments.size() == 3);
  CHECK(segment_tokens(*file, segments[2]) == std::vector<int64_t>{11, 12, 13, 14, 15});
  CHECK_THROWS_AS(segment_tokens(*file, {0, 0, 4, 0}), std::out_of_range);
}

TEST_CASE("Segments of several files count against one limit and name their file", "[data]") {
  const TemporaryFolder folder;
  const auto segments =
      make_segments({open(folder / "a", {10, 10}), open(folder / "b", {10, 10})}, 4, 0, 0, 6 * 4);
  CHECK(starts_of(segments) == Starts{{0, 0}, {0, 4}, {1, 0}, {1, 4}, {0, 0}, {0, 4}});
  CHECK((segments[3].source == 0 && segments[4].source == 1));
}

TEST_CASE("A target is far when its bigram's latest occurrence is more than far back", "[data]") {
  CHECK(kinds_of({1, 2, 3, 4}, 2) == "nnn");
  // (1 2) at targets 1, 4 (distance 3) and 9 (distance 5); (2 1) at 5 is new.
  CHECK(kinds_of({1, 2, 3, 1, 2, 1, 7, 8, 1, 2}, 3) == "nnnennnnf");
  CHECK(kinds_of({1, 2, 3, 1, 2, 1, 7, 8, 1, 2}, 2) == "nnnfnnnnf");
  CHECK(kinds_of({1, 2, 3, 1, 2, 1, 7, 8, 1, 2}, 5) == "nnnennnne");
  CHECK(kinds_of({5, 5, 5, 5}, 0) == "nff");  // distance 1 > 0
  CHECK(kinds_of({5, 5, 5, 5}, 1) == "nee");
  CHECK(kinds_of({1, 2, 2, 1}, 1) == "nnn");  // the order inside a bigram counts
}

TEST_CASE("The latest occurrence decides, not the first", "[data]") {
  // (1 2) at targets 1, 8 and 10: 10 is near to 8 though far from 1.
  CHECK(kinds_of({1, 2, 3, 4, 5, 6, 7, 1, 2, 1, 2}, 4) == "nnnnnnnfne");
}

TEST_CASE("Kinds agree with a search through the whole text", "[data]") {
  std::vector<int64_t> tokens;
  uint32_t state = 17;
  for (int i = 0; i < 800; ++i) {
    state = state * 1664525u + 1013904223u;
    tokens.push_back(state >> 28);
  }
  const auto kinds = classify_targets(tokens.data(), 799, 60);
  for (size_t t = 1; t < 800; ++t) {
    size_t latest = 0;
    for (size_t u = 1; u < t; ++u) {
      if (tokens[u - 1] == tokens[t - 1] && tokens[u] == tokens[t]) latest = u;
    }
    const auto expected = latest == 0       ? Repeat::kNew
                          : t - latest > 60 ? Repeat::kFar
                                            : Repeat::kNear;
    CHECK(kinds[t - 1] == expected);
  }
}

TEST_CASE("LongLoRA's windows begin every 256 tokens, and the last one is left out", "[data]") {
  const TemporaryFolder folder;
  const auto windows = [&](int64_t tokens, int64_t window, int64_t max_tokens) {
    const std::string path = folder / (std::to_string(tokens) + ".tokens");
    return make_longlora_segments({open(path, {tokens})}, window, max_tokens);
  };
  CHECK(starts_of(windows(1000, 256, 100000)) == Starts{{0, 0}, {0, 256}});
  CHECK(starts_of(windows(2048, 512, 100000)) ==
        Starts{{0, 0}, {0, 256}, {0, 512}, {0, 768}, {0, 1024}});
  CHECK(starts_of(windows(2048, 512, 1200)) == Starts{{0, 0}, {0, 256}});
  CHECK(windows(512, 256, 100000).empty());
  CHECK(windows(1000, 256, 100000)[0].length == 255);  // inputs, and so targets: all but the first
}
