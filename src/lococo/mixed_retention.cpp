#include "lococo/mixed_retention.h"

#include "lococo/selection.h"
#include "soft/mass_score.h"

namespace lococo {
namespace {

/// [B, G, S], 1 at the slots index_BGM.
torch::Tensor flags_at(const torch::Tensor& index_BGM, int64_t S) {
  auto flags_BGS = torch::zeros({index_BGM.size(0), index_BGM.size(1), S},
                                index_BGM.options().dtype(torch::kUInt8));
  return flags_BGS.scatter_(/*dim=*/2, index_BGM, 1);
}

/// The places of `count` zeros, ascending: there are no more.
torch::Tensor places_of_zeros(const torch::Tensor& flags_BGS, int64_t count) {
  return flags_BGS.argsort(/*stable=*/true, /*dim=*/-1, /*descending=*/false)
      .narrow(/*dim=*/2, 0, count);
}

/// Slot numbers, ascending.
struct MixedChoice {
  torch::Tensor kept_BGM;  ///< what stays
  torch::Tensor rest_BGS;  ///< what is mixed: massed slots, and what is dropped
  /// The massed slots, as numbers in kept_BGM and in rest_BGS.
  torch::Tensor in_kept_BGR, in_rest_BGR;
};

MixedChoice choose(const CacheState& cache, const torch::Tensor& massed_BGS,
                   const SlotShares& shares) {
  const int64_t S = cache.size(), R = shares.massed, firm = shares.slots() - R;
  MixedChoice choice;
  choice.kept_BGM = select_two_shares(cache.score_BGS, massed_BGS, shares);
  SlotShares alone = shares;
  alone.massed = 0;
  const auto is_firm_BGS = flags_at(select_two_shares(cache.score_BGS, {}, alone), S);
  choice.rest_BGS = places_of_zeros(is_firm_BGS, S - firm);
  choice.in_kept_BGR = places_of_zeros(is_firm_BGS.gather(/*dim=*/2, choice.kept_BGM), R);
  const auto is_dropped_BGS = 1 - flags_at(choice.kept_BGM, S);
  choice.in_rest_BGR = places_of_zeros(is_dropped_BGS.gather(/*dim=*/2, choice.rest_BGS), R);
  return choice;
}

}  // namespace

MixedRetention::MixedRetention(const CacheConfig& config, const PolicyShape& shape,
                               uint64_t init_seed)
    : RetentionPolicy(config, shape, init_seed) {}

CacheState MixedRetention::compress(const CacheState& cache) {
  TORCH_CHECK(cache.size() > config().slots, "S=", cache.size(), " must exceed the ",
              config().slots, " slots");
  const auto massed_BGS =
      score_with_mass(cache.score_BGS, cache.mass_BGS, gate->mass_weight.detach());
  const MixedChoice choice = choose(cache, massed_BGS, shares_of(config()));
  CacheState kept = gather_cache(cache, choice.kept_BGM);
  kept.mass_BGS = kept.mass_BGS * config().score_factor(cache.size());
  const auto mixed_BGRD = mix(gather_cache(cache, choice.rest_BGS), choice.in_rest_BGR);
  const auto at_BGRD = choice.in_kept_BGR.unsqueeze(-1).expand_as(mixed_BGRD);
  kept.v_BGSD = kept.v_BGSD.scatter(/*dim=*/2, at_BGRD, mixed_BGRD);
  return kept;
}

}  // namespace lococo
