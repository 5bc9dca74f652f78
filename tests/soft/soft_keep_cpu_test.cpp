// The CPU's soft choice in float32 against the reference.

#include <algorithm>

#include "soft/soft_keep.h"
#include "soft/soft_keep_reference.h"
#include "tensor/kit/torch.h"
#include "tests/support/catch.h"
#include "tests/support/gradcheck.h"
#include "tests/support/soft_scores.h"
#include "tests/support/tensors.h"

using namespace lococo;
using namespace lococo::testing;

namespace {

using Scores = SoftScores;

Scores scores(int64_t S, double spread) { return soft_scores(S, spread, torch::kCPU); }

torch::Tensor or_zero(const torch::Tensor& gradient, const torch::Tensor& like) {
  return gradient.defined() ? gradient : torch::zeros_like(like);
}

void compare_with_reference(const Scores& given, const SoftKeep& keep) {
  if (keep.alone < 0 || keep.massed < 0) return;  // too few keys for these budgets
  INFO("S=" << given.score_BGS.size(2) << " T=" << keep.temperature << " keeps " << keep.alone
            << " + " << keep.massed);
  const auto got = given.leaves(), want = given.leaves();
  const auto log_keep = soft_keep(got.score_BGS, got.massed_BGS, keep);
  const auto log_keep_want = soft_keep_reference(want.score_BGS, want.massed_BGS, keep);
  CHECK_CLOSE(log_keep, log_keep_want);
  if (!log_keep_want.requires_grad()) return;  // all fit
  weighted_sum(log_keep).backward();
  weighted_sum(log_keep_want).backward();
  for (const auto part : {&Scores::score_BGS, &Scores::massed_BGS}) {
    CHECK_CLOSE(or_zero((got.*part).grad(), log_keep) * keep.temperature,
                or_zero((want.*part).grad(), log_keep) * keep.temperature, /*factor=*/3.0);
  }
}

}  // namespace

TEST_CASE("a soft choice in float32 agrees with the reference", "[soft]") {
  for (const int64_t S : {1, 8, 33, 700}) {
    for (const double spread : {0.0, 0.01, 1.0, 20.0}) {
      const auto given = scores(S, spread);
      for (const double temperature : {0.5, 0.01}) {
        const int64_t inner = std::max<int64_t>(S - 5, 0);
        compare_with_reference(given, {2, 3, inner / 20 + 1, inner / 4, temperature});
        compare_with_reference(given, {2, 3, inner / 2, inner - inner / 2 - 1, temperature});
        compare_with_reference(given, {4, 0, S / 3, 0, temperature});
        compare_with_reference(given, {0, 1, 0, S / 3, temperature});
      }
    }
  }
}

TEST_CASE("a soft choice in float32 is finite between distant scores", "[soft]") {
  for (const int64_t near : {1, 10, 30, 100}) {
    for (const double temperature : {0.5, 0.01, 1e-4}) {
      INFO("near=" << near << " T=" << temperature);
      auto score = torch::full({1, 1, 100}, -50.0, torch::kFloat32);
      score.narrow(2, 0, near).fill_(50.0);
      const auto x = Scores{score, score.flip(2)}.leaves();
      const auto log_keep = soft_keep(x.score_BGS, x.massed_BGS, {1, 1, 30, 1, temperature});
      weighted_sum(log_keep).backward();
      CHECK((log_keep >= -30).logical_and(log_keep <= 0).all().item<bool>());
      CHECK(x.score_BGS.grad().isfinite().all().item<bool>());
      CHECK(x.massed_BGS.grad().isfinite().all().item<bool>());
      CHECK_CLOSE(log_keep.exp().sum(), torch::tensor(33.0));
    }
  }
}
