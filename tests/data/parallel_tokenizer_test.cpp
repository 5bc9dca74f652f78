#include "data/parallel_tokenizer.h"

#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "tests/data/prepare_place.h"
#include "tests/support/catch.h"

using namespace lococo;
using namespace lococo::testing;

TEST_CASE("Parallel tokenising keeps the order of documents for any number of threads", "[data]") {
  const PreparePlace place;
  const SentencePieceTokenizer tokenizer(place.folder / "t.model");
  const int64_t threads = GENERATE(int64_t{1}, int64_t{5});
  std::vector<std::pair<std::string, std::vector<int32_t>>> got;
  ParallelTokenizer parallel(
      tokenizer, true, true,
      [&](const std::string& name, const std::vector<int32_t>& ids) {
        got.emplace_back(name, ids);
      },
      threads);
  std::vector<std::string> texts;
  for (int i = 0; i < 3000; ++i) {
    // Some are larger than a batch, so that later ones are ready before them.
    texts.emplace_back(i % 500 == 0 ? 400000 : i % 97, static_cast<char>('a' + i % 26));
    parallel.add(std::to_string(i), std::string(texts.back()));
  }
  parallel.finish();
  REQUIRE(got.size() == 3000);
  for (size_t i = 0; i < 3000; ++i) {
    REQUIRE(got[i].first == std::to_string(i));
    REQUIRE(got[i].second == framed(texts[i]));
  }
}

TEST_CASE("An exception of the sink leaves the parallel tokenizer without hanging", "[data]") {
  const PreparePlace place;
  const SentencePieceTokenizer tokenizer(place.folder / "t.model");
  ParallelTokenizer parallel(
      tokenizer, true, true,
      [](const std::string&, const std::vector<int32_t>&) { throw std::runtime_error("full"); }, 3);
  const auto add_all = [&] {
    for (int i = 0; i < 1000; ++i) parallel.add("x", std::string(100000, 'a'));
    parallel.finish();
  };
  CHECK_THROWS_WITH(add_all(), "full");
}
