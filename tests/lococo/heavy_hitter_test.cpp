#include "lococo/heavy_hitter.h"

#include "tensor/kit/torch.h"
#include "tests/support/catch.h"
#include "tests/support/policies.h"
#include "tests/support/tensors.h"

using namespace lococo;
using namespace lococo::testing;

namespace {

/// Adds one token with its number and the column sums of its attention row.
CacheState append(const CacheState& cache, float number, std::vector<float> row) {
  const auto token = torch::full({1, 1, 1, 1}, number);
  const auto mass = torch::cat({cache.mass_BGS, torch::zeros({1, 1, 1})}, 2);
  return {torch::cat({cache.k_BGSD, token}, 2), torch::cat({cache.v_BGSD, token}, 2),
          mass + torch::tensor(row).view({1, 1, -1})};
}

}  // namespace

TEST_CASE("H2O's worked example: two heavy hitters and the two newest tokens", "[lococo]") {
  CacheConfig config;
  config.policy = CachePolicyKind::kH2o;
  config.slots = 4;
  config.local = 2;
  HeavyHitterPolicy policy(config);

  const auto rows = torch::tensor({{1.0F, 0.0F, 0.0F, 0.0F, 0.0F, 0.0F},
                                   {.5F, .5F, 0.0F, 0.0F, 0.0F, 0.0F},
                                   {.6F, .1F, .3F, 0.0F, 0.0F, 0.0F},
                                   {.2F, .1F, .5F, .2F, 0.0F, 0.0F},
                                   {.3F, .1F, .3F, .1F, .2F, 0.0F},
                                   {.1F, .1F, .4F, .1F, .1F, .2F}});
  const auto numbers = torch::arange(6, torch::kFloat32).view({1, 1, 6, 1});
  const auto after_prefill = policy.compress({numbers, numbers, rows.sum(0).view({1, 1, 6})});
  CHECK_SAME(slot_numbers(after_prefill).flatten(), torch::tensor({0.0F, 2.0F, 4.0F, 5.0F}));
  CHECK_CLOSE(after_prefill.mass_BGS.flatten(), torch::tensor({2.7F, 1.5F, .3F, .2F}));

  const auto after_token =
      policy.compress(append(after_prefill, 6.0F, {.05F, .25F, .3F, .1F, .3F}));
  CHECK_SAME(slot_numbers(after_token).flatten(), torch::tensor({0.0F, 2.0F, 5.0F, 6.0F}));
  CHECK_CLOSE(after_token.mass_BGS.flatten(), torch::tensor({2.75F, 1.75F, .3F, .3F}));
}

TEST_CASE("without a window H2O keeps the heaviest slots of each head", "[lococo]") {
  CacheConfig config;
  config.policy = CachePolicyKind::kH2o;
  config.slots = 3;
  HeavyHitterPolicy policy(config);
  const auto cache = numbered_cache(2, 2, 9, 4, 5);
  const auto kept = slot_numbers(policy.compress(cache)).to(torch::kInt64);
  const auto want = std::get<0>(std::get<1>(cache.mass_BGS.topk(3, -1)).sort(-1));
  CHECK_SAME(kept, want);
}
