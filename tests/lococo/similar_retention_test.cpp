#include "lococo/similar_retention.h"

#include <algorithm>

#include "lococo/selection.h"
#include "tensor/kit/torch.h"
#include "tests/support/catch.h"
#include "tests/support/policies.h"
#include "tests/support/tensors.h"

using namespace lococo;
using namespace lococo::testing;

namespace {

constexpr int64_t kB = 2, kG = 2, kD = 4, kE = 6, kS = 15;
constexpr PolicyShape kShape = {kE, kG, kD};

CacheConfig config_of(MixingKind mixing) {
  CacheConfig config = taught_memory(/*slots=*/9, /*block=*/6, /*alone_fraction=*/0.5);
  config.retention_units = 3;
  config.mixing = mixing;
  return config;
}

CacheState some_cache() {
  return numbered_cache(config_of(MixingKind::kNone), kB, kG, kS, kD, /*seed=*/7);
}

/// What one head's slot `own` holds after the tokens `dropped` were shared out over the slots
/// `massed`, number by number.
torch::Tensor by_hand(const torch::Tensor& k_SD, const torch::Tensor& v_SD, int64_t own,
                      const std::vector<int64_t>& massed, const std::vector<int64_t>& dropped) {
  const auto cosine = [&](int64_t a, int64_t b) {
    return (k_SD[a].dot(k_SD[b]) / (k_SD[a].norm() * k_SD[b].norm())).item<double>();
  };
  double weight = v_SD[own].norm().item<double>();
  auto sum = weight * v_SD[own];
  for (const int64_t token : dropped) {
    double all = 0.0;
    for (const int64_t slot : massed) all += std::exp(cosine(token, slot) / 0.03);
    const double share = std::exp(cosine(token, own) / 0.03) / all;
    const double given = share * v_SD[token].norm().item<double>();
    sum = sum + given * v_SD[token];
    weight += given;
  }
  return sum / weight;
}

}  // namespace

TEST_CASE("what is dropped goes to the slots whose keys are most like it", "[lococo]") {
  SimilarRetention similar(config_of(MixingKind::kSimilarity), kShape, 1);
  RetentionPolicy plain(config_of(MixingKind::kNone), kShape, 1);
  const CacheState cache = some_cache();
  const CacheState got = similar.compress(cache), own = plain.compress(cache);
  CHECK_SAME(got.k_BGSD, own.k_BGSD);
  CHECK_SAME(got.score_BGS, own.score_BGS);
  CHECK_SAME(got.mass_BGS, own.mass_BGS);
  CHECK_SAME(got.place_BGS, own.place_BGS);
  SlotShares firm_shares = shares_of(config_of(MixingKind::kNone));
  firm_shares.massed = 0;
  const auto firm = select_two_shares(cache.score_BGS, {}, firm_shares);
  const auto kept = slot_numbers(own).to(torch::kInt64);
  const auto has = [](const torch::Tensor& list, int64_t number) {
    return (list == number).any().item<bool>();
  };
  for (int64_t b = 0; b < kB; ++b) {
    for (int64_t g = 0; g < kG; ++g) {
      std::vector<int64_t> massed, dropped;
      for (int64_t s = 0; s < kS; ++s) {
        if (!has(kept[b][g], s)) dropped.push_back(s);
        if (has(kept[b][g], s) && !has(firm[b][g], s)) massed.push_back(s);
      }
      REQUIRE(static_cast<int64_t>(massed.size()) ==
              shares_of(config_of(MixingKind::kNone)).massed);
      const auto k_SD = cache.k_BGSD[b][g].to(torch::kFloat64);
      const auto v_SD = cache.v_BGSD[b][g].to(torch::kFloat64);
      for (int64_t m = 0; m < kept.size(2); ++m) {
        const int64_t slot = kept[b][g][m].item<int64_t>();
        const bool mixes = std::find(massed.begin(), massed.end(), slot) != massed.end();
        INFO(b << ' ' << g << ' ' << m);
        CHECK_CLOSE(got.v_BGSD[b][g][m],
                    mixes ? by_hand(k_SD, v_SD, slot, massed, dropped) : v_SD[slot]);
      }
    }
  }
}

TEST_CASE("values of zero mix to zero", "[lococo]") {
  SimilarRetention similar(config_of(MixingKind::kSimilarity), kShape, 1);
  CacheState cache = some_cache();
  cache.v_BGSD = torch::zeros_like(cache.v_BGSD);
  CHECK(similar.compress(cache).v_BGSD.count_nonzero().item<int64_t>() == 0);
}

TEST_CASE("likeness hands gradients on to keys and values, and has no weights", "[lococo]") {
  SimilarRetention similar(config_of(MixingKind::kSimilarity), kShape, 1);
  CacheState cache = some_cache();
  cache.k_BGSD = cache.k_BGSD.clone().requires_grad_();
  cache.v_BGSD = cache.v_BGSD.clone().requires_grad_();
  similar.compress(cache).v_BGSD.square().sum().backward();
  CHECK(cache.k_BGSD.grad().abs().sum().item<double>() > 0.0);
  CHECK(cache.v_BGSD.grad().abs().sum().item<double>() > 0.0);
  for (const auto& item : similar.named_parameters()) CHECK_FALSE(item.value().grad().defined());
}
