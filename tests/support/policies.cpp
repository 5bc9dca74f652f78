#include "tests/support/policies.h"

#include <ATen/CPUGeneratorImpl.h>

#include "tensor/kit/torch.h"
#include "tests/support/tensors.h"

namespace lococo::testing {
namespace {

CacheConfig base(CachePolicyKind policy, int64_t slots, int64_t block) {
  CacheConfig cache;
  cache.policy = policy;
  cache.slots = slots;
  cache.block = block;
  cache.buffer = 0;
  cache.kernel_size = 3;
  return cache;
}

CacheConfig streaming(int64_t slots, int64_t block, int64_t sinks, KeyKind keys) {
  auto cache = base(CachePolicyKind::kStreaming, slots, block);
  cache.sinks = sinks;
  cache.keys = keys;
  return cache;
}

CacheConfig scored(CachePolicyKind policy, int64_t slots, int64_t block, int64_t sinks,
                   int64_t local, ScoreKind scores, KeyKind keys) {
  auto cache = base(policy, slots, block);
  cache.sinks = sinks;
  cache.local = local;
  cache.scores = scores;
  cache.keys = keys;
  return cache;
}

CacheConfig lococo_with(double keep_fraction, int64_t kernel_size, int64_t conv_layers,
                        ConvInit init, KeyKind keys) {
  auto cache = scored(CachePolicyKind::kLococo, 9, 6, 1, 2, ScoreKind::kAccumulated, keys);
  cache.keep_fraction = keep_fraction;
  cache.kernel_size = kernel_size;
  cache.conv_layers = conv_layers;
  cache.expand = conv_layers;
  cache.init = init;
  return cache;
}

CacheConfig retention(int64_t slots, int64_t block, int64_t sinks, int64_t local,
                      double alone_fraction) {
  auto cache = scored(CachePolicyKind::kRetention, slots, block, sinks, local,
                      ScoreKind::kAccumulated, KeyKind::kUnrotated);
  cache.alone_fraction = alone_fraction;
  cache.retention_units = 5;
  cache.score_decay = 0.75;
  cache.score_distance = local;
  return cache;
}

CacheConfig mixing(CacheConfig cache, MixingKind kind = MixingKind::kConv) {
  cache.mixing = kind;
  cache.init = ConvInit::kFanIn;
  return cache;
}

CacheConfig at_text_places(CacheConfig cache, int64_t cap) {
  cache.positions = PositionKind::kText;
  cache.position_cap = cap;
  return cache;
}

}  // namespace

std::vector<PolicyCase> all_policies() {
  constexpr auto kH2o = CachePolicyKind::kH2o, kLococo = CachePolicyKind::kLococo;
  constexpr auto kLast = ScoreKind::kLastBlock, kSum = ScoreKind::kAccumulated;
  constexpr auto kRotated = KeyKind::kRotated, kUnrotated = KeyKind::kUnrotated;
  auto buffered = scored(kLococo, 8, 4, 0, 0, kLast, kRotated);
  buffered.buffer = 3;
  const auto decayed = [](CacheConfig cache) {
    cache.score_decay = 0.75;
    cache.score_distance = cache.local;
    return cache;
  };
  auto far = scored(kH2o, 8, 6, 1, 3, kLast, kRotated);
  far.score_distance = 3;
  auto seeing = lococo_with(0.5, 3, 1, ConvInit::kFanIn, kUnrotated);
  seeing.mass_channel = true;
  auto values = lococo_with(0.5, 3, 1, ConvInit::kFanIn, kUnrotated);
  values.mix_keys = false;
  return {
      {"streaming", streaming(8, 8, 2, kUnrotated)},
      {"streaming without sinks, odd", streaming(7, 5, 0, kRotated)},
      {"streaming with sinks only", streaming(3, 4, 3, kUnrotated)},
      {"h2o of the official code", scored(kH2o, 8, 8, 0, 0, kLast, kRotated)},
      {"h2o with a window", scored(kH2o, 8, 6, 0, 4, kSum, kRotated)},
      {"h2o with sinks and a window, odd", scored(kH2o, 9, 5, 2, 3, kSum, kUnrotated)},
      {"h2o without heavy hitters", scored(kH2o, 5, 3, 2, 3, kLast, kUnrotated)},
      {"h2o with decaying scores of far attention",
       decayed(scored(kH2o, 8, 6, 1, 3, kSum, kUnrotated))},
      {"h2o with far attention of the last block", far},
      {"streaming at places of the text", at_text_places(streaming(8, 8, 2, kUnrotated), 40)},
      {"h2o at places of the text, capped",
       at_text_places(scored(kH2o, 9, 5, 2, 3, kSum, kUnrotated), 15)},
      {"retention", retention(8, 6, 1, 2, 0.5)},
      {"retention by the gate alone, odd", retention(9, 5, 0, 2, 1.0)},
      {"retention at places of the text, capped", at_text_places(retention(9, 7, 1, 2, 0.4), 18)},
      {"retention that mixes what it drops", mixing(retention(8, 6, 1, 2, 0.5))},
      {"retention that mixes by likeness",
       mixing(retention(8, 6, 1, 2, 0.5), MixingKind::kSimilarity)},
      {"retention that mixes at places of the text, odd",
       at_text_places(mixing(retention(9, 7, 0, 3, 0.3)), 18)},
      {"lococo of the official code", scored(kLococo, 8, 8, 0, 0, kLast, kRotated)},
      {"lococo with a buffer", buffered},
      {"lococo with sinks and a window, rotated", scored(kLococo, 11, 7, 1, 2, kSum, kRotated)},
      {"lococo with sinks and a window, odd", scored(kLococo, 7, 5, 1, 2, kSum, kUnrotated)},
      {"lococo with a kernel wider than the rest",
       lococo_with(0.4, 21, 1, ConvInit::kNormal, kUnrotated)},
      {"lococo with two convolutions", lococo_with(0.5, 3, 2, ConvInit::kFanIn, kUnrotated)},
      {"lococo with three convolutions, rotated",
       lococo_with(0.5, 5, 3, ConvInit::kFanIn, kRotated)},
      {"lococo that starts as h2o", lococo_with(0.5, 3, 1, ConvInit::kIdentity, kUnrotated)},
      {"lococo with decaying scores of far attention",
       decayed(lococo_with(0.5, 3, 1, ConvInit::kFanIn, kRotated))},
      {"lococo that sees masses, decaying", decayed(seeing)},
      {"lococo that mixes values only", values},
      {"lococo that mixes nothing", lococo_with(1.0, 3, 1, ConvInit::kNormal, kUnrotated)},
  };
}

CacheState numbered_cache(int64_t B, int64_t G, int64_t S, int64_t D, uint64_t seed,
                          torch::ScalarType dtype) {
  CacheState cache;
  cache.k_BGSD = normal({B, G, S, D}, seed, dtype);
  cache.v_BGSD = normal({B, G, S, D}, seed + 1, dtype);
  cache.v_BGSD.select(/*dim=*/3, 0).copy_(torch::arange(S));
  // Ranks of random numbers: no two of a head are equal.
  const auto ranks = normal({B, G, S}, seed + 2).argsort(int64_t{-1});
  cache.mass_BGS = (ranks.to(torch::kFloat32) + 1) * 0.125;
  return cache;
}

CacheState numbered_cache(const CacheConfig& config, int64_t B, int64_t G, int64_t S, int64_t D,
                          uint64_t seed) {
  auto cache = numbered_cache(B, G, S, D, seed);
  if (config.has_retention())
    cache.score_BGS = normal({B, G, S}, seed + 3).argsort(int64_t{-1}).to(torch::kFloat32);
  if (config.positions == PositionKind::kText)
    cache.place_BGS = torch::arange(S, torch::kInt32).expand({B, G, S}).contiguous();
  return cache;
}

CacheState at_home(const CacheState& cache, int64_t capacity) {
  auto home = [&](const torch::Tensor& x) {
    auto sizes = x.sizes().vec();
    sizes[2] = capacity;
    const auto memory = torch::zeros(sizes, x.options());
    memory.narrow(/*dim=*/2, 0, x.size(2)).copy_(x);
    return memory;
  };
  CacheState homed;
  for (const auto& field : CacheState::fields()) {
    if ((cache.*field.slots).defined()) homed.*field.home = home(cache.*field.slots);
  }
  homed.use_home(cache.size());
  return homed;
}

torch::Tensor slot_numbers(const CacheState& cache) { return cache.v_BGSD.select(/*dim=*/3, 0); }

CacheConfig taught_memory(int64_t slots, int64_t block, double alone_fraction) {
  CacheConfig cache;
  cache.policy = CachePolicyKind::kRetention;
  cache.slots = slots;
  cache.block = block;
  cache.buffer = 0;
  cache.sinks = 1;
  cache.local = 2;
  cache.alone_fraction = alone_fraction;
  cache.retention_units = 8;
  cache.scores = ScoreKind::kAccumulated;
  cache.score_decay = 0.8;
  cache.score_distance = 2;
  cache.keys = KeyKind::kUnrotated;
  cache.positions = PositionKind::kText;
  return cache;
}

SoftCache soft_form(const CacheConfig& cache, double temperature) {
  return {{cache.sinks, cache.local, cache.alone_slots(), cache.massed_slots(), temperature},
          cache.block,
          cache.score_decay,
          cache.score_distance};
}

}  // namespace lococo::testing
