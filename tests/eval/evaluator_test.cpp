#include "eval/evaluator.h"

#include <cmath>

#include "pass/sequence_pass.h"
#include "tensor/kit/torch.h"
#include "tests/support/catch.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/tiny_evaluation.h"
#include "tests/support/tiny_llama.h"
#include "tests/support/tiny_run.h"
#include "tests/support/user_error.h"

using namespace lococo;
using namespace lococo::testing;

namespace {

// Of kNineTargets with far = 3: (1,2) at target 4 (3 back, near), (2,3) at 5 (3 back, near), (1,2)
// at 9 (5 back, far).
const std::vector<char> kKinds = {'n', 'n', 'n', 'r', 'r', 'n', 'n', 'n', 'f'};

}  // namespace

TEST_CASE("far, near and new targets are summed apart, as counted by hand", "[eval]") {
  auto model = tiny_llama(3, tiny_cache());
  const auto config = evaluation_config({9});
  const auto results = evaluate(config, {kNineTargets, {1, 2}}, model);
  REQUIRE(results.size() == 1);
  REQUIRE(results[0].segments.size() == 1);
  const auto& got = results[0].segments[0];

  const auto tokens =
      torch::tensor(std::vector<int64_t>(kNineTargets.begin(), kNineTargets.end())).view({1, 10});
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

TEST_CASE("the batch size and the other segments change no segment's score", "[eval]") {
  auto model = tiny_llama(3, tiny_cache());
  const std::vector<std::vector<int32_t>> documents = {
      random_document(70, 1), random_document(45, 2), random_document(30, 3)};
  auto config = evaluation_config({20, 33});
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

TEST_CASE("one pass serves lengths and batches of any size as a pass for each does", "[eval]") {
  const TokenDocuments documents = {random_document(170, 1), random_document(45, 2)};
  auto model = tiny_llama(3, tiny_cache());
  auto config = evaluation_config({20, 33, 9, 20});
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

TEST_CASE("evaluation changes no weight and leaves no gradient", "[eval]") {
  auto model = tiny_llama(3, tiny_cache());
  const auto before = snapshot(model);
  evaluate(evaluation_config({20}), {random_document(70, 1)}, model);
  CHECK(same_bits(snapshot(model), before));
  for (const auto& parameter : model->parameters()) CHECK_FALSE(parameter.grad().defined());
}

TEST_CASE("a length longer than every document is the user's fault", "[eval]") {
  auto model = tiny_llama(3, tiny_cache());
  const auto line =
      user_error_of([&] { evaluate(evaluation_config({500}), {random_document(70, 1)}, model); });
  CHECK_CONTAINS(line, "eval.lengths");
  CHECK_CONTAINS(line, "500");
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
