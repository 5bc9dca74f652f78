#include "lococo/conv_memory.h"

#include "lococo/fused_mix.h"
#include "lococo/fused_select.h"
#include "lococo/selection.h"
#include "tensor/conv/time_conv.h"

namespace lococo {

ConvMemory::ConvMemory(const CacheConfig& config, int64_t kv_heads, int64_t head_dim,
                       uint64_t init_seed)
    : config_(config), mixer_(this, config, kv_heads, head_dim, init_seed) {}

CacheState ConvMemory::mixed_slots(const CacheState& rest, const torch::Tensor& residual_BGR) {
  const auto weights_BGRS = mixer_.weights(rest);
  auto mix = [&](const torch::Tensor& x, const torch::Tensor& mixture) {
    return mixer_.mix(gather_slots(x, residual_BGR), mixture);
  };
  const auto k = config_.mix_keys ? mix(rest.k_BGSD, torch::matmul(weights_BGRS, rest.k_BGSD))
                                  : gather_slots(rest.k_BGSD, residual_BGR);
  const auto v = mix(rest.v_BGSD, torch::matmul(weights_BGRS, rest.v_BGSD));
  const auto mass_column = rest.mass_BGS.to(weights_BGRS.scalar_type()).unsqueeze(-1);
  const auto mass =
      mix(rest.mass_BGS, torch::matmul(weights_BGRS.detach(), mass_column).squeeze(-1)).detach();
  return {k, v, mass};
}

CacheState ConvMemory::compress(const CacheState& cache) {
  const int64_t R = config_.mixed_slots();
  TORCH_CHECK(cache.size() > config_.slots, "S=", cache.size(), " must exceed the ", config_.slots,
              " slots");
  if (use_fused_compression(cache, config_)) {
    if (R == 0) return keep_slots_fused(cache, config_);
    return mix_slots_fused(cache, config_, mixer_.first()->weight, mixer_.first()->bias,
                           mixer_.normalizer);
  }
  const auto selection =
      select_slots(cache.mass_BGS, config_.kept_slots(), config_.sinks, config_.local);
  const auto gather = [](const CacheState& from, const torch::Tensor& index_BGM) -> CacheState {
    return {gather_slots(from.k_BGSD, index_BGM), gather_slots(from.v_BGSD, index_BGM),
            gather_slots(from.mass_BGS, index_BGM)};
  };
  const double fading = config_.score_factor(cache.size());
  CacheState kept = gather(cache, selection.kept_BGM);
  kept.mass_BGS = kept.mass_BGS * fading;
  if (R == 0) return kept;

  const CacheState rest = gather(cache, selection.rest_BGS);
  const auto residual_BGR =
      std::get<0>(std::get<1>(rest.mass_BGS.topk(R, /*dim=*/-1)).sort(/*dim=*/-1));
  const CacheState mixed = mixed_slots(rest, residual_BGR);
  const CacheState result = {torch::cat({kept.k_BGSD, mixed.k_BGSD}, /*dim=*/2),
                             torch::cat({kept.v_BGSD, mixed.v_BGSD}, /*dim=*/2),
                             torch::cat({kept.mass_BGS, mixed.mass_BGS * fading}, /*dim=*/2)};
  if (config_.keys == KeyKind::kRotated) return result;
  const auto residual_slot_BGR = selection.rest_BGS.gather(/*dim=*/2, residual_BGR);
  return gather(
      result, torch::cat({selection.kept_BGM, residual_slot_BGR}, /*dim=*/2).argsort(int64_t{-1}));
}

void ConvMemory::prepare(CacheState& cache) {
  if (config_.mixed_slots() == 0 || !cache.k_home_BGCD.defined()) return;
  if (cache.k_home_BGCD.size(2) <= config_.slots) return;  // never compressed
  auto smallest = cache;
  smallest.use_home(config_.slots + 1);
  if (use_fused_compression(smallest, config_))
    time_conv_pack(mixer_.first()->weight, cache.prepared_KOC);
}

}  // namespace lococo
