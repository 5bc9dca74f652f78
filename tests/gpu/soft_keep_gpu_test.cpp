// The GPU's soft choice against bisection in float64.

#include <algorithm>
#include <functional>

#include "soft/soft_keep.h"
#include "soft/soft_keep_reference.h"
#include "tensor/kit/cuda_graph.h"
#include "tensor/kit/torch.h"
#include "tests/support/catch.h"
#include "tests/support/gpu.h"
#include "tests/support/gradcheck.h"
#include "tests/support/soft_scores.h"
#include "tests/support/tensors.h"

using namespace lococo;
using namespace lococo::testing;

namespace {

using Scores = SoftScores;

Scores scores(int64_t S, double spread) { return soft_scores(S, spread, torch::kCUDA); }

void compare_choice(const Scores& given, const SoftKeep& keep) {
  if (keep.alone < 0 || keep.massed < 0) return;  // too few keys for these budgets
  INFO("S=" << given.score_BGS.size(2) << " T=" << keep.temperature << " keeps " << keep.alone
            << " + " << keep.massed << " of scores up to " << given.score_BGS.max().item<float>());
  const auto got = given.leaves(), want = given.leaves();
  const auto log_keep = soft_keep(got.score_BGS, got.massed_BGS, keep);
  const auto log_keep_want = soft_keep_reference(want.score_BGS, want.massed_BGS, keep);
  // What lies 30 temperatures from a threshold has 30 times its rounding, and a threshold that
  // leaves out one key of thousands rests on sums of thousands of float32 terms.
  CHECK_CLOSE(log_keep, log_keep_want, /*factor=*/30.0);
  if (!log_keep_want.requires_grad()) return;  // all fit
  weighted_sum(log_keep).backward();
  weighted_sum(log_keep_want).backward();
  // A gate that is not used may leave its gradient undefined.
  const auto or_zero = [&](const torch::Tensor& gradient) {
    return gradient.defined() ? gradient : torch::zeros_like(log_keep);
  };
  const auto compare = [&](const torch::Tensor& gradient, const torch::Tensor& gradient_want) {
    CHECK_CLOSE(or_zero(gradient) * keep.temperature, or_zero(gradient_want) * keep.temperature,
                /*factor=*/100.0);
  };
  compare(got.score_BGS.grad(), want.score_BGS.grad());
  compare(got.massed_BGS.grad(), want.massed_BGS.grad());
}

}  // namespace

TEST_CASE("a soft choice on a GPU agrees with the reference", "[gpu]") {
  require_cuda();
  for (const int64_t S : {1, 8, 33, 700, 2049, 4096, 10000, 16384}) {
    for (const double spread : {0.0, 0.01, 1.0, 20.0}) {
      const auto given = scores(S, spread);
      for (const double temperature : {0.5, 0.05, 0.01}) {
        const int64_t inner = std::max<int64_t>(S - 5, 0);
        compare_choice(given, {2, 3, inner / 20 + 1, inner / 4, temperature});
        compare_choice(given, {0, 0, 1, 1, temperature});
        compare_choice(given, {2, 3, inner / 2, inner - inner / 2 - 1, temperature});
        compare_choice(given, {4, 0, S / 3, 0, temperature});
        compare_choice(given, {0, 1, 0, S / 3, temperature});
      }
    }
  }
}

TEST_CASE("a soft choice on a GPU keeps as many keys as it is to", "[gpu]") {
  require_cuda();
  for (const double spread : {0.0, 1.0, 50.0}) {
    for (const double temperature : {0.5, 0.05, 0.01}) {
      INFO("spread=" << spread << " T=" << temperature);
      const auto given = scores(4096, spread);
      const SoftKeep keep = {4, 60, 100, 300, temperature};
      const auto kept = soft_keep(given.score_BGS, given.massed_BGS, keep).exp();
      CHECK_CLOSE(kept.sum(-1, false, torch::kFloat64), torch::full({2, 2}, 464.0));
    }
  }
}

TEST_CASE("a soft choice on a GPU has neither NaN nor infinity for distant scores", "[gpu]") {
  require_cuda();
  // Two crowds far apart: between them, whatever a threshold does changes nothing.
  for (const int64_t near : {1, 10, 30, 100}) {
    for (const double temperature : {0.5, 0.05, 0.01, 1e-4}) {
      INFO("near=" << near << " T=" << temperature);
      auto score = torch::full({1, 1, 100}, -50.0, torch::kFloat32);
      score.narrow(2, 0, near).fill_(50.0);
      const Scores given = {score.to(torch::kCUDA), score.flip(2).to(torch::kCUDA)};
      for (const auto& keep :
           {SoftKeep{0, 0, 10, 10, temperature}, SoftKeep{1, 1, 30, 1, temperature}}) {
        const auto x = given.leaves();
        const auto log_keep = soft_keep(x.score_BGS, x.massed_BGS, keep);
        weighted_sum(log_keep).backward();
        CHECK((log_keep >= -30).logical_and(log_keep <= 0).all().item<bool>());
        CHECK(x.score_BGS.grad().isfinite().all().item<bool>());
        CHECK(x.massed_BGS.grad().isfinite().all().item<bool>());
      }
    }
  }
}

TEST_CASE("a soft choice on a GPU takes strided scores", "[gpu]") {
  require_cuda();
  const auto given = scores(301, 1.0);
  const SoftKeep keep = {2, 3, 20, 40, 0.5};
  const auto strided = [](const torch::Tensor& x) {
    return x.transpose(0, 2).contiguous().transpose(0, 2);
  };
  CHECK_SAME(soft_keep(strided(given.score_BGS), strided(given.massed_BGS), keep),
             soft_keep(given.score_BGS, given.massed_BGS, keep));
}

TEST_CASE("a soft choice on a GPU gives the same bits every time, also from a graph", "[gpu]") {
  require_cuda();
  auto x = scores(4096, 1.0).leaves();
  const SoftKeep keep = {4, 60, 100, 300, 0.05};
  const auto weights = on_gpu({2, 2, 4096}, 3, torch::kFloat32);
  x.score_BGS.mutable_grad() = torch::zeros_like(x.score_BGS);
  x.massed_BGS.mutable_grad() = torch::zeros_like(x.massed_BGS);
  auto log_keep = torch::zeros_like(weights);
  const auto work = [&] {
    const auto result = soft_keep(x.score_BGS, x.massed_BGS, keep);
    log_keep.copy_(result.detach());
    (result * weights).sum().backward();
  };
  const auto once = [&](const std::function<void()>& run) {
    log_keep.zero_();
    x.score_BGS.mutable_grad().zero_();
    x.massed_BGS.mutable_grad().zero_();
    run();
    return torch::cat({log_keep, x.score_BGS.grad(), x.massed_BGS.grad()});
  };
  const auto first = once(work);
  for (int i = 0; i < 5; ++i) CHECK_SAME(once(work), first);
  CapturedGraph graph;
  graph.capture(work);
  for (int i = 0; i < 3; ++i) CHECK_SAME(once([&] { graph.replay(); }), first);
}
