// Compressions that move scores and places, and choose by two rankings, by kernels and by tensor
// operations.
#ifdef LOCOCO_WITH_CUDA
#include <ATen/cuda/CUDAGraph.h>
#include <c10/cuda/CUDAGuard.h>
#endif

#include "lococo/retention.h"
#include "lococo/selection.h"
#include "lococo/selection_kernel.h"
#include "tests/gpu/compression_cases.h"
#include "tests/support/gpu.h"

using namespace lococo;
using namespace lococo::testing;

namespace {

/// random_cache() with scores, no two of a row equal, and places as a text leaves them.
CacheState noted_cache(const Case& c, uint64_t seed) {
  auto cache = random_cache(c, seed);
  cache.score_BGS = (distinct_masses(c.B, c.G, c.S, seed + 3) * 0.125 - 3.0).to(kGpu);
  const auto steps_BGS = (normal({c.B, c.G, c.S}, seed + 4).abs() * 4.0).to(torch::kInt32) + 1;
  cache.place_BGS = steps_BGS.cumsum(2, torch::kInt32).to(kGpu);
  return cache;
}

CacheState widened_all(const CacheState& cache) {
  auto wide = widened(cache);
  wide.score_BGS = cache.score_BGS;
  wide.place_BGS = cache.place_BGS;
  return wide;
}

/// The same numbers as parts of larger tensors, at an odd place of them.
CacheState as_parts(const CacheState& cache) {
  CacheState parts;
  for (const auto& field : CacheState::fields()) {
    const auto& x = cache.*field.slots;
    if (!x.defined()) continue;
    auto sizes = x.sizes().vec();
    sizes[2] += 5;
    parts.*field.slots = torch::zeros(sizes, x.options()).narrow(2, 3, x.size(2));
    (parts.*field.slots).copy_(x);
  }
  return parts;
}

void check_same_all(const CacheState& got, const CacheState& want) {
  for (const auto& field : CacheState::fields()) {
    const auto &a = got.*field.slots, &b = want.*field.slots;
    REQUIRE(a.defined() == b.defined());
    if (!a.defined()) continue;
    CHECK(a.scalar_type() == b.scalar_type());
    CHECK_SAME(a, b);
  }
}

CacheConfig retention_of(const Case& c, double alone_fraction) {
  auto config = config_of(c, CachePolicyKind::kRetention, KeyKind::kUnrotated);
  config.alone_fraction = alone_fraction;
  config.scores = ScoreKind::kAccumulated;
  return config;
}

std::shared_ptr<RetentionPolicy> make_retention(const CacheConfig& config, const Case& c) {
  auto policy = std::make_shared<RetentionPolicy>(config, PolicyShape{64, c.G, c.D}, /*init=*/1);
  const torch::NoGradGuard no_grad;
  policy->gate->mass_weight.copy_(40.0 - 30.0 * torch::arange(c.G));
  policy->to(kGpu);
  return policy;
}

/// The cache that `policy` makes of `cache`, by the reference in the kernels' dtype.
CacheState compressed_slowly(CachePolicy& policy, const CacheState& cache) {
  auto want = policy.compress(widened_all(cache));
  want.k_BGSD = want.k_BGSD.to(torch::kBFloat16);
  want.v_BGSD = want.v_BGSD.to(torch::kBFloat16);
  return want;
}

torch::Tensor as_int64(const torch::Tensor& list) { return list.to(torch::kInt64); }

}  // namespace

TEST_CASE("a gate on a GPU is the gate in float32", "[gpu]") {
  require_cuda();
  RetentionGate gate(512, 128, 8, /*init_seed=*/1);
  const auto h = normal({2, 300, 512}, 3).to(torch::kBFloat16);
  torch::NoGradGuard no_grad;
  const auto want = gate->forward_wide(h);
  gate->to(kGpu);
  CHECK_CLOSE(gate->forward(h.to(kGpu)).cpu(), want, /*factor=*/10.0);
}

TEST_CASE("the kernel of two shares chooses what the reference chooses", "[gpu]") {
  require_cuda();
  const std::vector<SlotShares> all_shares = {
      {4, 9, 20, 40}, {0, 0, 0, 33}, {0, 5, 33, 0}, {3, 0, 50, 47}, {2, 3, 0, 0}};
  for (const int64_t S : {101, 1023, 1024, 1025, 2049, 4096, 4608, 8192}) {
    for (const auto& [B, G] : {std::pair<int64_t, int64_t>{1, 1}, {4, 3}}) {
      const auto seed = static_cast<uint64_t>(S);
      const auto score_BGS = ((distinct_masses(B, G, S, seed) - 20.0) * 0.25).to(kGpu);
      const auto mass_BGS = distinct_masses(B, G, S, seed + 1).to(kGpu) * 0.01;
      const auto weight_G = (40.0 - 30.0 * torch::arange(G)).to(kGpu, torch::kFloat32);
      const auto massed_BGS =
          score_BGS + weight_G.unsqueeze(-1) * torch::log(mass_BGS + kMassFloor);
      for (const auto& shares : all_shares) {
        INFO("S=" << S << " B=" << B << " G=" << G << " alone=" << shares.alone
                  << " massed=" << shares.massed);
        const auto mass = shares.massed > 0 ? mass_BGS : torch::Tensor();
        const auto plan = plan_two_shares(score_BGS, mass, weight_G, shares);
        const auto want = select_two_shares(score_BGS, massed_BGS, shares).flatten(0, 1);
        CHECK_SAME(as_int64(plan.source_XM), want);
        CHECK_SAME(as_int64(plan.target_XM),
                   torch::arange(want.size(1), want.options()).expand_as(want));
        CHECK_FALSE(plan.rest_XS.defined());
      }
    }
  }
}

TEST_CASE("of equal scores and masses the lower slots are kept", "[gpu]") {
  require_cuda();
  auto score = torch::zeros({1, 2, 1500}), mass = torch::zeros({1, 2, 1500});
  score.select(2, 700).fill_(1.0);
  mass.select(2, 900).fill_(1.0);
  const auto plan = plan_two_shares(score.to(kGpu), mass.to(kGpu), torch::ones({2}).to(kGpu),
                                    {/*sinks=*/3, /*local=*/5, /*alone=*/10, /*massed=*/4});
  // 700 and nine more alone; then 900 and three more.
  const auto want =
      torch::cat({torch::arange(15), torch::tensor({700, 900}), torch::arange(1495, 1500)});
  for (int64_t row = 0; row < 2; ++row) CHECK_SAME(as_int64(plan.source_XM[row]).cpu(), want);
}

TEST_CASE("retention's compression by kernels has the bits of the reference", "[gpu]") {
  require_cuda();
  for (const auto& c : cases()) {
    for (const double alone_fraction : {0.5, 0.0, 1.0}) {
      INFO(text(c) << " alone_fraction=" << alone_fraction);
      const auto config = retention_of(c, alone_fraction);
      const auto policy = make_retention(config, c);
      auto cache = noted_cache(c, 7);
      if (!policy->needs().mass) cache.mass_BGS = torch::Tensor();
      REQUIRE(use_fused_compression(cache, config));
      REQUIRE_FALSE(use_fused_compression(widened_all(cache), config));
      const auto want = compressed_slowly(*policy, cache);
      const auto got = policy->compress(cache);
      CHECK_FALSE(got.k_BGSD.requires_grad());
      check_same_all(got, want);
      check_same_all(policy->compress(as_parts(cache)), want);
      cache.place_BGS = torch::Tensor();  // slots are places
      check_same_all(policy->compress(cache), compressed_slowly(*policy, cache));
    }
  }
}

TEST_CASE("streaming and h2o move places by the kernels, with the bits of the reference", "[gpu]") {
  require_cuda();
  for (const auto& c : cases()) {
    for (const auto kind : {CachePolicyKind::kStreaming, CachePolicyKind::kH2o}) {
      INFO(text(c) << " policy " << static_cast<int>(kind));
      const auto config = config_of(c, kind, KeyKind::kUnrotated);
      const auto policy =
          make_cache_policy(config, {/*hidden_size=*/64, c.G, c.D}, /*init_seed=*/1);
      auto cache = noted_cache(c, 8);
      cache.score_BGS = torch::Tensor();
      REQUIRE(use_fused_compression(cache, config));
      const auto want = compressed_slowly(*policy, cache);
      REQUIRE(want.place_BGS.defined());
      check_same_all(policy->compress(cache), want);
      check_same_all(policy->compress(as_parts(cache)), want);
    }
  }
}

TEST_CASE("the kernels refuse numbers that they cannot read", "[gpu]") {
  require_cuda();
  const Case c = {2, 3, 131, 64, 64, 0.5, 1, 2, 5};
  const auto config = retention_of(c, 0.5);
  const auto cache = noted_cache(c, 9);
  CHECK(use_fused_compression(cache, config));
  auto odd = cache;
  odd.place_BGS = cache.place_BGS.to(torch::kInt64);
  CHECK_FALSE(use_fused_compression(odd, config));
  odd = cache;
  odd.score_BGS = cache.score_BGS.to(torch::kFloat64);
  CHECK_FALSE(use_fused_compression(odd, config));
  odd.score_BGS = cache.score_BGS.transpose(1, 2).contiguous().transpose(1, 2);
  CHECK_FALSE(use_fused_compression(odd, config));  // slots that are not neighbours
  odd.score_BGS = torch::Tensor();
  CHECK_FALSE(use_fused_compression(odd, config));
  // A mixture has no place.
  const auto mixing = config_of(c, CachePolicyKind::kLococo, KeyKind::kUnrotated);
  CHECK_FALSE(use_fused_compression(cache, mixing));
  const auto many = torch::zeros({1, 2, 8193}, cache.score_BGS.options());
  CHECK_THROWS_AS(plan_two_shares(many, many, torch::ones({2}).to(kGpu), {1, 2, 3, 4}), c10::Error);
}

#ifdef LOCOCO_WITH_CUDA
TEST_CASE("a captured compression of scores and places follows the cache's contents", "[gpu]") {
  require_cuda();
  const torch::NoGradGuard no_grad;
  const Case c = {2, 4, 1024, 64, 512, 0.5, 4, 64, 21};
  const auto policy = make_retention(retention_of(c, 0.5), c);
  const auto cache = as_parts(noted_cache(c, 14)), other = noted_cache(c, 24);
  at::cuda::CUDAGraph graph;
  CacheState result;
  torch::cuda::synchronize();
  {
    const c10::cuda::CUDAStreamGuard on_stream(c10::cuda::getStreamFromPool());
    policy->compress(cache);
    torch::cuda::synchronize();
    graph.capture_begin({0, 0}, cudaStreamCaptureModeThreadLocal);
    result = policy->compress(cache);
    graph.capture_end();
  }
  for (const auto& field : CacheState::fields()) (cache.*field.slots).copy_(other.*field.slots);
  torch::cuda::synchronize();
  graph.replay();
  torch::cuda::synchronize();
  check_same_all(result, policy->compress(other));
}
#endif
