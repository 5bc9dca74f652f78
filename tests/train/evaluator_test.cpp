#include "train/evaluator.h"

#include <cmath>
#include <nlohmann/json.hpp>

#include "tensor/torch.h"
#include "tests/support/catch.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/tiny_llama.h"
#include "tests/support/tiny_run.h"
#include "tests/support/user_error.h"
#include "train/sequence_pass.h"

using namespace lococo;
using namespace lococo::testing;

namespace {

// The segment is the first ten tokens; documents must be longer than that.
const std::vector<int32_t> kDocument = {1, 2, 3, 1, 2, 3, 9, 5, 1, 2, 7};
// far = 3: (1,2) at target 4 (3 back, near), (2,3) at 5 (3 back, near), (1,2) at 9 (5 back, far).
const std::vector<char> kKinds = {'n', 'n', 'n', 'r', 'r', 'n', 'n', 'n', 'f'};

std::shared_ptr<const TokenFile> open(const std::string& path) {
  return std::make_shared<const TokenFile>(path);
}

std::vector<LengthResult> evaluate(const Config& config,
                                   const std::vector<std::vector<int32_t>>& documents,
                                   Llama model) {
  const TemporaryFolder folder;
  const auto file = open(write_tokens(folder / "validation.tokens", documents));
  const auto communicator = make_communicator(config.distributed, torch::kCPU);
  return Evaluator(config, {file}).evaluate(model, torch::kCPU, *communicator);
}

Config config_for(std::vector<int64_t> lengths) {
  Config config;
  config.cache = tiny_cache();
  config.eval.lengths = std::move(lengths);
  config.eval.far = 3;
  config.distributed.backend = CommBackend::kSingle;
  return config;
}

SegmentScore score(double sum, int64_t targets) {
  SegmentScore s;
  s.nll_sum = sum;
  s.targets = targets;
  return s;
}

PooledMean pool_all(const std::vector<SegmentScore>& segments) {
  return pool(segments, &SegmentScore::nll_sum, &SegmentScore::targets);
}

}  // namespace

TEST_CASE("a pooled mean weighs every target alike, its error every segment", "[train]") {
  // mean 12 / 6 = 2; residuals 4 - 2 * 1 = 2, 5 - 2 * 3 = -1, 3 - 2 * 2 = -1; sum of squares 6
  const auto pooled = pool_all({score(4, 1), score(5, 3), score(3, 2)});
  CHECK(pooled.mean == Approx(2.0));
  CHECK(pooled.targets == 6);
  CHECK(pooled.standard_error == Approx(std::sqrt(6.0 * 3 / 2) / 6));
}

TEST_CASE("equal segments have no error, one segment has none that is known", "[train]") {
  CHECK(pool_all({score(6, 3), score(4, 2), score(2, 1)}).standard_error ==
        Approx(0.0).margin(1e-12));
  CHECK(std::isnan(pool_all({score(6, 3)}).standard_error));
  CHECK(std::isnan(pool_all({score(0, 0), score(0, 0)}).mean));
}

TEST_CASE("with segments of one length the error is that of the mean of means", "[train]") {
  const auto pooled = pool_all({score(2, 2), score(4, 2), score(9, 2), score(1, 2)});
  // means 1, 2, 4.5, 0.5: mean 2, variance (1 + 0 + 6.25 + 2.25) / 3
  CHECK(pooled.mean == Approx(2.0));
  CHECK(pooled.standard_error == Approx(std::sqrt(9.5 / 3 / 4)));
}

TEST_CASE("far, near and new targets are summed apart, as counted by hand", "[train]") {
  auto model = tiny_llama(3, tiny_cache());
  const auto config = config_for({9});
  const auto results = evaluate(config, {kDocument, {1, 2}}, model);
  REQUIRE(results.size() == 1);
  REQUIRE(results[0].segments.size() == 1);
  const auto& got = results[0].segments[0];

  const auto tokens =
      torch::tensor(std::vector<int64_t>(kDocument.begin(), kDocument.end() - 1)).view({1, 10});
  const auto nll = make_pass(config)->evaluate(model, tokens);
  double far = 0, near = 0, fresh = 0;
  for (size_t t = 0; t < kKinds.size(); ++t) {
    const double value = nll[0][static_cast<int64_t>(t)].item<double>();
    (kKinds[t] == 'f' ? far : kKinds[t] == 'r' ? near : fresh) += value;
  }
  CHECK(got.targets == 9);
  CHECK(got.far_targets == 1);
  CHECK(got.near_targets == 2);
  CHECK(got.new_targets == 6);
  CHECK(got.far_sum == Approx(far));
  CHECK(got.near_sum == Approx(near));
  CHECK(got.new_sum == Approx(fresh));
  CHECK(got.nll_sum == Approx(far + near + fresh));
}

TEST_CASE("the batch size and the other segments change no segment's score", "[train]") {
  auto model = tiny_llama(3, tiny_cache());
  const std::vector<std::vector<int32_t>> documents = {
      random_document(70, 1), random_document(45, 2), random_document(30, 3)};
  auto config = config_for({20, 33});
  config.eval.batch = 1;
  const auto single = evaluate(config, documents, model);
  config.eval.batch = 4;
  const auto batched = evaluate(config, documents, model);
  REQUIRE(single.size() == 2);
  CHECK(single[0].length == 20);
  CHECK(single[1].length == 33);
  for (size_t i = 0; i < 2; ++i) {
    REQUIRE(single[i].segments.size() == batched[i].segments.size());
    for (size_t j = 0; j < single[i].segments.size(); ++j) {
      CHECK(batched[i].segments[j].nll_sum == Approx(single[i].segments[j].nll_sum).epsilon(1e-5));
      CHECK(batched[i].segments[j].document == single[i].segments[j].document);
      CHECK(batched[i].segments[j].begin == single[i].segments[j].begin);
    }
  }
  // 70 tokens: starts 0, 20, 40; 45: starts 0, 20; 30: start 0.
  CHECK(single[0].segments.size() == 6);
}

TEST_CASE("evaluation changes no weight and leaves no gradient", "[train]") {
  auto model = tiny_llama(3, tiny_cache());
  const auto before = snapshot(model);
  evaluate(config_for({20}), {random_document(70, 1)}, model);
  CHECK(same_bits(snapshot(model), before));
  for (const auto& parameter : model->parameters()) CHECK_FALSE(parameter.grad().defined());
}

TEST_CASE("a length longer than every document is the user's fault", "[train]") {
  auto model = tiny_llama(3, tiny_cache());
  const auto line =
      user_error_of([&] { evaluate(config_for({500}), {random_document(70, 1)}, model); });
  CHECK_CONTAINS(line, "eval.lengths");
  CHECK_CONTAINS(line, "500");
}

TEST_CASE("the report holds every figure, and null where there is nothing to average", "[train]") {
  auto model = tiny_llama(3, tiny_cache());
  auto config = config_for({9});
  config.eval.per_segment = true;
  const auto results = evaluate(config, {kDocument}, model);
  const auto json = nlohmann::json::parse(results_json(config, results));
  const auto& row = json.at("results").at(0);
  CHECK(row.at("length") == 9);
  CHECK(row.at("segments") == 1);
  CHECK(row.at("tokens") == 9);
  CHECK(row.at("far_targets") == 1);
  CHECK(row.at("nll").get<double>() == Approx(results[0].segments[0].nll_sum / 9));
  CHECK(row.at("nll_se").is_null());  // a single segment
  CHECK(row.at("per_segment").size() == 1);
  CHECK(row.at("per_segment").at(0).at("near_targets") == 2);
  CHECK_CONTAINS(results_table(results), "far_nll");
}
