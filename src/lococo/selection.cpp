#include "lococo/selection.h"

namespace lococo {

SlotSelection select_slots(const torch::Tensor& mass_BGS, int64_t kept, int64_t sinks,
                           int64_t local) {
  const int64_t S = mass_BGS.size(2);
  const int64_t heavy = kept - sinks - local;
  TORCH_CHECK(heavy >= 0 && kept <= S, "kept=", kept, " sinks=", sinks, " local=", local,
              " do not fit into S=", S);
  auto is_kept_BGS = torch::zeros_like(mass_BGS, torch::kUInt8);
  if (sinks > 0) is_kept_BGS.narrow(/*dim=*/2, 0, sinks).fill_(1);
  if (local > 0) is_kept_BGS.narrow(/*dim=*/2, S - local, local).fill_(1);
  if (heavy > 0) {
    const auto candidates = mass_BGS.narrow(/*dim=*/2, sinks, S - sinks - local);
    const auto chosen = std::get<1>(candidates.topk(heavy, /*dim=*/-1)) + sinks;
    is_kept_BGS.scatter_(/*dim=*/2, chosen, 1);
  }
  // A stable sort of the flags lists the rest in order, then the kept in order: both index lists
  // without a synchronisation.
  const auto order_BGS = is_kept_BGS.argsort(/*stable=*/true, /*dim=*/-1, /*descending=*/false);
  return {order_BGS.narrow(/*dim=*/2, S - kept, kept), order_BGS.narrow(/*dim=*/2, 0, S - kept)};
}

SlotShares shares_of(const CacheConfig& config) {
  return {config.sinks, config.local, config.alone_slots(), config.massed_slots()};
}

torch::Tensor select_two_shares(const torch::Tensor& score_BGS, const torch::Tensor& massed_BGS,
                                const SlotShares& shares) {
  const int64_t S = score_BGS.size(2), first = shares.sinks;
  const int64_t candidates = S - shares.sinks - shares.local;
  TORCH_CHECK(shares.alone >= 0 && shares.massed >= 0 && shares.slots() <= S,
              "slots=", shares.slots(), " do not fit into S=", S);
  torch::NoGradGuard no_grad;
  auto is_kept_BGS = torch::ones_like(score_BGS, torch::kUInt8);
  auto among_BGS = is_kept_BGS.narrow(/*dim=*/2, first, candidates).zero_();
  const auto keep_best = [&](const torch::Tensor& ranking_BGS, int64_t count) {
    if (count == 0) return;
    const auto ranking = ranking_BGS.narrow(/*dim=*/2, first, candidates)
                             .masked_fill(among_BGS.to(torch::kBool), -INFINITY);
    // Stable, because in the first layer every occurrence of a token has the same score.
    const auto order = ranking.argsort(/*stable=*/true, /*dim=*/-1, /*descending=*/true);
    among_BGS.scatter_(/*dim=*/2, order.narrow(/*dim=*/2, 0, count), 1);
  };
  keep_best(score_BGS, shares.alone);
  keep_best(massed_BGS, shares.massed);
  const auto order_BGS = is_kept_BGS.argsort(/*stable=*/true, /*dim=*/-1, /*descending=*/false);
  return order_BGS.narrow(/*dim=*/2, S - shares.slots(), shares.slots());
}

CacheState gather_cache(const CacheState& cache, const torch::Tensor& index_BGM) {
  CacheState kept;
  for (const auto& field : CacheState::fields()) {
    const auto& slots = cache.*field.slots;
    if (slots.defined()) kept.*field.slots = gather_slots(slots, index_BGM);
  }
  return kept;
}

torch::Tensor gather_slots(const torch::Tensor& x, const torch::Tensor& index_BGM) {
  if (x.dim() == 3) return x.gather(/*dim=*/2, index_BGM);
  const auto index = index_BGM.unsqueeze(-1).expand({-1, -1, -1, x.size(3)});
  return x.gather(/*dim=*/2, index);
}

}  // namespace lococo
