// NLL along the segment: how it is cut, and what one rank and several find.
#include "pass/sequence_pass.h"
#include "tensor/kit/torch.h"
#include "tests/support/catch.h"
#include "tests/support/lonely_rank.h"
#include "tests/support/tiny_evaluation.h"
#include "tests/support/tiny_llama.h"
#include "tests/support/tiny_run.h"

using namespace lococo;
using namespace lococo::testing;

namespace {

/// What rank 0 of `size` ranks finds.
std::vector<LengthResult> evaluate_on_ranks(int size, const Config& config,
                                            const TokenDocuments& documents, Llama model) {
  std::vector<Numbers> others(config.eval.lengths.size());
  for (int rank = 1; rank < size; ++rank) {
    LonelyRank communicator(rank, size);
    evaluate(config, documents, model, communicator);
    REQUIRE(communicator.given().size() == others.size());  // one collective for each length
    for (size_t i = 0; i < others.size(); ++i) others[i].add(communicator.given()[i]);
  }
  LonelyRank main(0, size, others);
  return evaluate(config, documents, model, main);
}

/// NLL of each position of each segment, one segment and pass at a time: [segments][length].
std::vector<std::vector<double>> token_nll(const Config& config, const LengthResult& result,
                                           const TokenDocuments& documents, Llama model) {
  std::vector<std::vector<double>> rows;
  for (const auto& segment : result.segments) {
    const auto first = documents[static_cast<size_t>(segment.document)].begin() + segment.begin;
    const std::vector<int64_t> tokens(first, first + result.length + 1);
    const auto nll = make_pass(config)->evaluate(model, torch::tensor(tokens).view({1, -1}));
    std::vector<double> row;
    for (int64_t t = 0; t < result.length; ++t) row.push_back(nll[0][t].item<double>());
    rows.push_back(row);
  }
  return rows;
}

}  // namespace

TEST_CASE("a segment is cut into parts of the same size, but for one token", "[eval]") {
  auto ends_of = [](int64_t length, int64_t count) {
    std::vector<int64_t> ends;
    for (const auto& bucket : make_position_buckets(length, count)) {
      CHECK(bucket.begin == (ends.empty() ? 0 : ends.back()));
      CHECK(bucket.nll_sum == 0);
      CHECK(bucket.targets == 0);
      ends.push_back(bucket.end);
    }
    return ends;
  };
  CHECK(ends_of(12, 4) == std::vector<int64_t>{3, 6, 9, 12});
  CHECK(ends_of(11, 4) == std::vector<int64_t>{3, 6, 9, 11});
  CHECK(ends_of(3, 3) == std::vector<int64_t>{1, 2, 3});
  CHECK(ends_of(7, 1) == std::vector<int64_t>{7});
  CHECK(ends_of(7, 0).empty());
}

TEST_CASE("the NLL of a part of the segment is the mean over its tokens", "[eval]") {
  const TokenDocuments documents = {random_document(70, 1), random_document(45, 2),
                                    random_document(30, 3)};
  const auto policy = GENERATE(CachePolicyKind::kLococo, CachePolicyKind::kNone);
  const int64_t batch = GENERATE(1, 4);  // of 6 and 3 segments: the last batch is smaller
  auto config = evaluation_config({20, 33});
  config.cache.policy = policy;
  config.eval.batch = batch;
  config.eval.position_buckets = 7;
  CHECK(is_blockwise(config) == (policy == CachePolicyKind::kLococo));
  auto model = tiny_llama(3, config.cache);
  for (const auto& result : evaluate(config, documents, model)) {
    const auto rows = token_nll(config, result, documents, model);
    REQUIRE(result.by_position.size() == 7);
    CHECK(result.by_position.back().end == result.length);
    double total = 0;
    int64_t targets = 0;
    for (const auto& bucket : result.by_position) {
      std::vector<double> values;
      for (const auto& row : rows)
        values.insert(values.end(), row.begin() + bucket.begin, row.begin() + bucket.end);
      double sum = 0;
      for (const double value : values) sum += value;
      CHECK(bucket.targets == static_cast<int64_t>(values.size()));
      CHECK(bucket.mean() == Approx(sum / static_cast<double>(values.size())).epsilon(1e-5));
      total += bucket.nll_sum;
      targets += bucket.targets;
    }
    const auto all = pool_all(result.segments);
    CHECK(targets == all.targets);
    CHECK(total / static_cast<double>(targets) == Approx(all.mean).epsilon(1e-12));
  }
}

TEST_CASE("several ranks find the NLL by position that one finds", "[eval]") {
  const TokenDocuments documents = {random_document(70, 1), random_document(45, 2)};
  auto config = evaluation_config({20, 33});
  config.eval.position_buckets = 3;
  auto model = tiny_llama(3, tiny_cache());
  const auto alone = evaluate(config, documents, model);
  const int size = GENERATE(2, 7);  // some of seven have no segment
  const auto together = evaluate_on_ranks(size, config, documents, model);
  REQUIRE(together.size() == alone.size());
  for (size_t i = 0; i < alone.size(); ++i) {
    REQUIRE(together[i].by_position.size() == 3);
    for (size_t j = 0; j < 3; ++j) {
      const auto& got = together[i].by_position[j];
      CHECK(got.targets == alone[i].by_position[j].targets);
      CHECK(got.nll_sum == Approx(alone[i].by_position[j].nll_sum).epsilon(1e-12));
    }
    CHECK(pool_all(together[i].segments).mean == Approx(pool_all(alone[i].segments).mean));
  }
}
