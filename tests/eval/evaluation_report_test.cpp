#include "eval/evaluation_report.h"

#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "tensor/kit/torch.h"
#include "tests/support/catch.h"
#include "tests/support/tiny_evaluation.h"
#include "tests/support/tiny_llama.h"
#include "tests/support/tiny_run.h"
#include "tests/support/user_error.h"

using namespace lococo;
using namespace lococo::testing;

namespace {

SegmentScore score(double sum, int64_t targets) {
  SegmentScore s;
  s.nll_sum = sum;
  s.targets = targets;
  return s;
}

}  // namespace

TEST_CASE("a pooled mean weighs every target alike, its error every segment", "[eval]") {
  // mean 12 / 6 = 2; residuals 4 - 2 * 1 = 2, 5 - 2 * 3 = -1, 3 - 2 * 2 = -1; sum of squares 6
  const auto pooled = pool_all({score(4, 1), score(5, 3), score(3, 2)});
  CHECK(pooled.mean == Approx(2.0));
  CHECK(pooled.targets == 6);
  CHECK(pooled.standard_error == Approx(std::sqrt(6.0 * 3 / 2) / 6));
}

TEST_CASE("equal segments have no error, one segment has none that is known", "[eval]") {
  CHECK(pool_all({score(6, 3), score(4, 2), score(2, 1)}).standard_error ==
        Approx(0.0).margin(1e-12));
  CHECK(std::isnan(pool_all({score(6, 3)}).standard_error));
  CHECK(std::isnan(pool_all({score(0, 0), score(0, 0)}).mean));
}

TEST_CASE("with segments of one length the error is that of the mean of means", "[eval]") {
  const auto pooled = pool_all({score(2, 2), score(4, 2), score(9, 2), score(1, 2)});
  // means 1, 2, 4.5, 0.5: mean 2, variance (1 + 0 + 6.25 + 2.25) / 3
  CHECK(pooled.mean == Approx(2.0));
  CHECK(pooled.standard_error == Approx(std::sqrt(9.5 / 3 / 4)));
}

TEST_CASE("an NLL that is not finite is told with its place", "[eval]") {
  auto model = tiny_llama(3, tiny_cache());
  const TokenDocuments documents = {random_document(70, 1)};
  CHECK(non_finite_problem(evaluate(evaluation_config({20}), documents, model)).empty());
  {
    const torch::NoGradGuard no_grad;
    model->model->norm->weight[0] = std::numeric_limits<float>::quiet_NaN();
  }
  const auto line = non_finite_problem(evaluate(evaluation_config({20}), documents, model));
  CHECK_CONTAINS(line, "the NLL at 20 tokens is not finite in document 0");
}

TEST_CASE("a figure that does not exist is a dash in the table", "[eval]") {
  auto model = tiny_llama(3, tiny_cache());
  const auto table = results_table(evaluate(evaluation_config({9}), {kNineTargets}, model));
  CHECK(table.find("nan") == std::string::npos);
  CHECK_CONTAINS(table, "       -");  // one segment has no standard error
}

TEST_CASE("the report holds every figure, and null where there is nothing to average", "[eval]") {
  auto model = tiny_llama(3, tiny_cache());
  auto config = evaluation_config({9});
  config.eval.per_segment = true;
  const auto results = evaluate(config, {kNineTargets}, model);
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

TEST_CASE("NLL by position is reported where it was asked for", "[eval]") {
  auto model = tiny_llama(3, tiny_cache());
  auto config = evaluation_config({9});
  const auto without = evaluate(config, {kNineTargets}, model);
  CHECK_FALSE(nlohmann::json::parse(results_json(config, without))
                  .at("results")
                  .at(0)
                  .contains("nll_by_position"));
  CHECK(results_table(without).find("NLL by position") == std::string::npos);

  config.eval.position_buckets = 2;
  const auto results = evaluate(config, {kNineTargets}, model);
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
