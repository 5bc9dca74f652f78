#include "eval/evaluator.h"

#include <cmath>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "eval/evaluation_report.h"
#include "pass/sequence_pass.h"
#include "tensor/kit/torch.h"
#include "tests/support/catch.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/tiny_llama.h"
#include "tests/support/tiny_run.h"
#include "tests/support/user_error.h"

using namespace lococo;
using namespace lococo::testing;

namespace {

// The only segment of nine targets.
const std::vector<int32_t> kDocument = {1, 2, 3, 1, 2, 3, 9, 5, 1, 2};
// far = 3: (1,2) at target 4 (3 back, near), (2,3) at 5 (3 back, near), (1,2) at 9 (5 back, far).
const std::vector<char> kKinds = {'n', 'n', 'n', 'r', 'r', 'n', 'n', 'n', 'f'};

std::shared_ptr<const TokenFile> open(const std::string& path) {
  return std::make_shared<const TokenFile>(path);
}

using TokenDocuments = std::vector<std::vector<int32_t>>;

std::vector<LengthResult> evaluate(const Config& config, const TokenDocuments& documents,
                                   Llama model, Communicator& communicator) {
  const TemporaryFolder folder;
  const auto file = open(write_tokens(folder / "validation.tokens", documents));
  return Evaluator(config, {file}).evaluate(model, torch::kCPU, communicator);
}

std::vector<LengthResult> evaluate(const Config& config, const TokenDocuments& documents,
                                   Llama model) {
  const auto communicator = make_communicator(config.distributed, torch::kCPU);
  return evaluate(config, documents, model, *communicator);
}

/// What ranks bring to one sum over all of them.
struct Numbers {
  std::vector<double> values;
  std::vector<int64_t> counts;

  void add(const Numbers& other) {
    values.resize(std::max(values.size(), other.values.size()));
    counts.resize(std::max(counts.size(), other.counts.size()));
    for (size_t i = 0; i < other.values.size(); ++i) values[i] += other.values[i];
    for (size_t i = 0; i < other.counts.size(); ++i) counts[i] += other.counts[i];
  }
};

/// One of several ranks without the others: what they would add to each sum is given.
class LonelyRank : public Communicator {
 public:
  LonelyRank(int rank, int size, std::vector<Numbers> others = {})
      : rank_(rank), size_(size), others_(std::move(others)) {}

  /// What this rank brought to each sum.
  const std::vector<Numbers>& given() const { return given_; }

  int rank() const override { return rank_; }
  int size() const override { return size_; }
  int local_rank() const override { return rank_; }
  int local_size() const override { return size_; }
  void all_reduce_sum_numbers(std::vector<double>& values, std::vector<int64_t>& counts) override {
    Numbers sum = {values, counts};
    given_.push_back(sum);
    if (!others_.empty()) sum.add(others_.at(given_.size() - 1));
    values = sum.values;
    counts = sum.counts;
  }
  int64_t all_reduce_sum_int(int64_t value) override { return value; }
  int64_t all_reduce_max_int(int64_t value) override { return value; }
  void all_reduce_sum(std::vector<torch::Tensor>&) override {}
  void reduce_scatter_sum(torch::Tensor&) override {}
  void all_gather(torch::Tensor&) override {}
  void broadcast(torch::Tensor&, int) override {}
  std::string broadcast_text(const std::string& text, int) override { return text; }
  void barrier() override {}
  [[noreturn]] void abort(int code) override { std::exit(code); }

 private:
  int rank_, size_;
  std::vector<Numbers> others_, given_;
};

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
      torch::tensor(std::vector<int64_t>(kDocument.begin(), kDocument.end())).view({1, 10});
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

TEST_CASE("a segment is cut into parts of the same size, but for one token", "[train]") {
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

TEST_CASE("the NLL of a part of the segment is the mean over its tokens", "[train]") {
  const TokenDocuments documents = {random_document(70, 1), random_document(45, 2),
                                    random_document(30, 3)};
  const auto policy = GENERATE(CachePolicyKind::kLococo, CachePolicyKind::kNone);
  const int64_t batch = GENERATE(1, 4);  // of 6 and 3 segments: the last batch is smaller
  auto config = config_for({20, 33});
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

TEST_CASE("several ranks find the NLL by position that one finds", "[train]") {
  const TokenDocuments documents = {random_document(70, 1), random_document(45, 2)};
  auto config = config_for({20, 33});
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

TEST_CASE("one pass serves lengths and batches of any size as a pass for each does", "[train]") {
  const TokenDocuments documents = {random_document(170, 1), random_document(45, 2)};
  auto model = tiny_llama(3, tiny_cache());
  auto config = config_for({20, 33, 9, 20});
  config.eval.batch = 4;  // the remainders differ from length to length
  const auto together = evaluate(config, documents, model);
  REQUIRE(together.size() == 4);
  for (const auto& result : together) {
    auto one = config;
    one.eval.lengths = {result.length};
    const auto alone = evaluate(one, documents, model).front();
    REQUIRE(alone.segments.size() == result.segments.size());
    for (size_t i = 0; i < alone.segments.size(); ++i)
      CHECK(alone.segments[i].nll_sum == result.segments[i].nll_sum);
  }
}

TEST_CASE("an NLL that is not finite is told with its place", "[train]") {
  auto model = tiny_llama(3, tiny_cache());
  const TokenDocuments documents = {random_document(70, 1)};
  CHECK(non_finite_problem(evaluate(config_for({20}), documents, model)).empty());
  {
    const torch::NoGradGuard no_grad;
    model->model->norm->weight[0] = std::numeric_limits<float>::quiet_NaN();
  }
  const auto line = non_finite_problem(evaluate(config_for({20}), documents, model));
  CHECK_CONTAINS(line, "the NLL at 20 tokens is not finite in document 0");
}

TEST_CASE("a figure that does not exist is a dash in the table", "[train]") {
  auto model = tiny_llama(3, tiny_cache());
  const auto table = results_table(evaluate(config_for({9}), {kDocument}, model));
  CHECK(table.find("nan") == std::string::npos);
  CHECK_CONTAINS(table, "       -");  // one segment has no standard error
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

TEST_CASE("NLL by position is reported where it was asked for", "[train]") {
  auto model = tiny_llama(3, tiny_cache());
  auto config = config_for({9});
  const auto without = evaluate(config, {kDocument}, model);
  CHECK_FALSE(nlohmann::json::parse(results_json(config, without))
                  .at("results")
                  .at(0)
                  .contains("nll_by_position"));
  CHECK(results_table(without).find("NLL by position") == std::string::npos);

  config.eval.position_buckets = 2;
  const auto results = evaluate(config, {kDocument}, model);
  const auto json = nlohmann::json::parse(results_json(config, results));
  const auto& parts = json.at("results").at(0).at("nll_by_position");
  REQUIRE(parts.size() == 2);
  CHECK(parts[0].size() == 3);
  CHECK(parts[0].at("begin") == 0);
  CHECK(parts[0].at("end") == 5);
  CHECK(parts[1].at("begin") == 5);
  CHECK(parts[1].at("end") == 9);
  const double first = parts[0].at("nll").get<double>(), last = parts[1].at("nll").get<double>();
  CHECK(first == Approx(results[0].by_position[0].nll_sum / 5));
  CHECK((5 * first + 4 * last) / 9 == Approx(json.at("results").at(0).at("nll").get<double>()));
  CHECK_CONTAINS(results_table(results), "NLL by position");
  CHECK_CONTAINS(results_table(results), "  50.0 -  100.0");
}

TEST_CASE("LongLoRA's windows are scored at every position but the first", "[eval]") {
  const TemporaryFolder folder;
  Config config = tiny_run_config(folder / ".");
  config.cache = {};
  config.data.context_length = 32;
  config.eval.lengths = {32};
  config.eval.windows = EvalWindows::kLongLora;
  config.eval.position_buckets = 31;
  const auto results = evaluate(config, {random_document(700, 3)}, tiny_llama(3));
  CHECK(results[0].length == 32);
  REQUIRE(results[0].segments.size() == 2);  // 0, 256, 512 < 668, without the last
  CHECK(results[0].segments[1].begin == 256);
  CHECK(results[0].segments[0].targets == 31);
  CHECK(results[0].by_position.size() == 31);
}

TEST_CASE("an evaluation is dense unless it asks for the pattern of training", "[eval]") {
  const TemporaryFolder folder;
  Config config = tiny_run_config(folder / ".");
  config.cache = {};
  config.data.context_length = 32;
  config.eval.lengths = {32};
  const auto nll = [&] {
    return evaluate(config, {random_document(100, 3)}, tiny_llama(3))[0].segments[0].nll_sum;
  };
  const double full = nll();
  config.attention.pattern = PatternKind::kS2;
  CHECK(nll() == full);
  config.eval.pattern = EvalPattern::kTraining;
  CHECK(std::abs(nll() - full) > 1e-3);
}
