#include "soft/soft_keep.h"

#include <limits>

#include "tensor/kit/torch.h"
#include "tests/support/catch.h"
#include "tests/support/gradcheck.h"
#include "tests/support/tensors.h"

using namespace lococo;
using namespace lococo::testing;

namespace {

SoftKeep keeping(int64_t alone, int64_t massed, double temperature) {
  return {/*sinks=*/2, /*local=*/3, alone, massed, temperature};
}

/// Of the keys between sinks and newest.
torch::Tensor candidates_of(const torch::Tensor& x_BGS, const SoftKeep& keep) {
  return x_BGS.narrow(2, keep.sinks, x_BGS.size(2) - keep.sinks - keep.local);
}

struct KeepScores {
  explicit KeepScores(int64_t S, double spread = 1.0, torch::ScalarType dtype = torch::kFloat64,
                      int64_t B = 2, int64_t G = 3)
      : score_BGS(spread * normal({B, G, S}, 1, dtype)),
        massed_BGS(score_BGS + spread * normal({B, G, S}, 2, dtype).abs()) {}
  torch::Tensor score_BGS, massed_BGS;
};

/// The hard choice, as 0 and 1.
torch::Tensor hard_choice(const KeepScores& x, const SoftKeep& keep) {
  const auto score = candidates_of(x.score_BGS, keep);
  const auto first = std::get<1>(score.topk(keep.alone));
  auto chosen = torch::zeros_like(score).scatter_(2, first, 1.0);
  const auto massed = candidates_of(x.massed_BGS, keep)
                          .masked_fill(chosen > 0, -std::numeric_limits<double>::infinity());
  return chosen.scatter_(2, std::get<1>(massed.topk(keep.massed)), 1.0);
}

}  // namespace

TEST_CASE("each gate keeps exactly as many keys as it is to", "[soft]") {
  const double temperature = GENERATE(0.01, 0.5, 4.0);
  const double spread = GENERATE(0.0, 1.0, 30.0);
  const auto dtype = GENERATE(torch::kFloat64, torch::kFloat32);
  const KeepScores x(40, spread, dtype);
  for (const auto& [alone, massed] : std::vector<std::pair<int64_t, int64_t>>{
           {1, 0}, {0, 1}, {1, 1}, {10, 0}, {0, 10}, {7, 12}, {30, 4}, {3, 31}, {34, 0}, {0, 34}}) {
    INFO("T=" << temperature << " spread=" << spread << " " << alone << " + " << massed);
    const auto keep = keeping(alone, massed, temperature);
    const auto log_keep = soft_keep(x.score_BGS, x.massed_BGS, keep);
    CHECK(log_keep.scalar_type() == dtype);
    const auto kept = candidates_of(log_keep.exp(), keep).to(torch::kFloat64);
    // Keys at the least log keep count a little more than they should; float32 rounds the result.
    const double factor = dtype == torch::kFloat64 ? 1.0 : 0.1;
    const auto total = torch::full({2, 3}, static_cast<double>(alone + massed));
    CHECK_CLOSE(kept.sum(-1), total.to(dtype), factor);
    if (alone == 0) continue;
    const auto by_score =
        soft_keep(x.score_BGS, {}, keeping(alone, 0, temperature)).exp().to(torch::kFloat64);
    const auto first = torch::full({2, 3}, static_cast<double>(alone));
    CHECK_CLOSE(candidates_of(by_score, keep).sum(-1), first.to(dtype), factor);
  }
}

TEST_CASE("a cold soft choice is the hard one", "[soft]") {
  KeepScores x(64);
  x.score_BGS = x.score_BGS.argsort(/*dim=*/int64_t{-1}, /*descending=*/false).to(torch::kFloat64);
  x.massed_BGS =
      x.massed_BGS.argsort(/*dim=*/int64_t{-1}, /*descending=*/false).to(torch::kFloat64);
  for (const auto& [alone, massed] : std::vector<std::pair<int64_t, int64_t>>{
           {9, 0}, {0, 9}, {1, 1}, {9, 15}, {40, 18}, {1, 57}, {57, 1}}) {
    INFO(alone << " + " << massed);
    const auto keep = keeping(alone, massed, /*temperature=*/1e-3);
    const auto kept = soft_keep(x.score_BGS, x.massed_BGS, keep).exp();
    CHECK_CLOSE(candidates_of(kept, keep), hard_choice(x, keep));
  }
}

TEST_CASE("the gradient of a soft choice is exact, moving thresholds included", "[soft]") {
  const double temperature = GENERATE(0.2, 1.0);
  KeepScores x(17, /*spread=*/1.0, torch::kFloat64, /*B=*/1, /*G=*/1);
  x.score_BGS.requires_grad_(true);
  x.massed_BGS = x.massed_BGS.detach().requires_grad_(true);
  const auto loss = [&](int64_t alone, int64_t massed) {
    return weighted_sum(soft_keep(x.score_BGS, x.massed_BGS, keeping(alone, massed, temperature)));
  };
  const auto both = {x.score_BGS, x.massed_BGS};
  CHECK(gradient_error([&] { return loss(3, 4); }, both) == "");
  CHECK(gradient_error([&] { return loss(1, 10); }, both) == "");
  CHECK(gradient_error([&] { return loss(10, 1); }, both) == "");
  CHECK(gradient_error([&] { return loss(5, 0); }, {x.score_BGS}) == "");
  CHECK(gradient_error([&] { return loss(0, 5); }, {x.massed_BGS}) == "");
}

TEST_CASE("a key that is certainly left out has the least log keep and no gradient of its own",
          "[soft]") {
  auto score = torch::tensor({{{0.0, 9.0, 5.0, 4.9, 0.0, -20.0, -40.0, 7.0}}},
                             torch::dtype(torch::kFloat64).requires_grad(true));
  auto massed = (score.detach() + 0.5).requires_grad_(true);
  const SoftKeep keep = {/*sinks=*/1, /*local=*/1, /*alone=*/1, /*massed=*/1, /*temperature=*/0.2};
  const auto log_keep = soft_keep(score, massed, keep);
  weighted_sum(log_keep).backward();
  CHECK_CLOSE(log_keep.narrow(2, 5, 2), torch::full({1, 1, 2}, -30.0, torch::kFloat64));
  CHECK((log_keep.narrow(2, 0, 5) > -30).all().item<bool>());
  for (const auto& gradient : {score.grad(), massed.grad()}) {
    CHECK(gradient.isfinite().all().item<bool>());
    // What is left is what these move the thresholds by.
    CHECK((gradient.narrow(2, 5, 2).abs() < 1e-9).all().item<bool>());
    CHECK((gradient.narrow(2, 2, 2) != 0).all().item<bool>());
  }
}

TEST_CASE("sinks and newest keys are kept whatever their scores", "[soft]") {
  KeepScores x(20);
  x.score_BGS.requires_grad_(true);
  const auto keep = keeping(4, 5, 0.5);
  const auto log_keep = soft_keep(x.score_BGS, x.massed_BGS, keep);
  weighted_sum(log_keep).backward();
  for (const auto& y : {log_keep, x.score_BGS.grad()}) {
    CHECK((y.narrow(2, 0, keep.sinks) == 0).all().item<bool>());
    CHECK((y.narrow(2, 20 - keep.local, keep.local) == 0).all().item<bool>());
  }
  auto other = x.score_BGS.detach().clone();
  other.narrow(2, 0, keep.sinks) += 100;
  other.narrow(2, 20 - keep.local, keep.local) -= 100;
  CHECK_SAME(soft_keep(other, x.massed_BGS, keep), log_keep);
}

TEST_CASE("nothing is left out while all keys fit", "[soft]") {
  for (const int64_t S : {0, 1, 5, 6, 11, 12}) {
    INFO("S=" << S);
    const KeepScores x(S);
    CHECK_SAME(soft_keep(x.score_BGS, x.massed_BGS, keeping(3, 4, 0.5)),
               torch::zeros_like(x.score_BGS));
  }
  const KeepScores x(13);
  CHECK((soft_keep(x.score_BGS, x.massed_BGS, keeping(3, 4, 0.5)) < 0).any().item<bool>());
}

TEST_CASE("without gates open no candidate is kept", "[soft]") {
  const KeepScores x(9);
  const auto keep = keeping(0, 0, 0.5);
  const auto log_keep = candidates_of(soft_keep(x.score_BGS, {}, keep), keep);
  CHECK_CLOSE(log_keep, torch::full_like(log_keep, -30.0));
}

TEST_CASE("a soft choice that cannot be made is refused", "[soft]") {
  const KeepScores x(20);
  CHECK_THROWS_AS(soft_keep(x.score_BGS, {}, keeping(4, 5, 0.5)), c10::Error);
  CHECK_THROWS_AS(soft_keep(x.score_BGS, x.massed_BGS, keeping(4, 5, 0.0)), c10::Error);
  CHECK_THROWS_AS(soft_keep(x.score_BGS, x.massed_BGS, keeping(-1, 5, 0.5)), c10::Error);
  CHECK_THROWS_AS(soft_keep(x.score_BGS, x.massed_BGS.narrow(2, 0, 19), keeping(4, 5, 0.5)),
                  c10::Error);
  CHECK_THROWS_AS(soft_keep(x.score_BGS.to(torch::kBFloat16), {}, keeping(4, 0, 0.5)), c10::Error);
}
