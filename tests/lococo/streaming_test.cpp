#include "lococo/streaming.h"

#include "tensor/kit/torch.h"
#include "tests/support/catch.h"
#include "tests/support/policies.h"
#include "tests/support/tensors.h"

using namespace lococo;
using namespace lococo::testing;

TEST_CASE("StreamingLLM's worked example: four sinks and the four newest of twelve", "[lococo]") {
  CacheConfig config;
  config.policy = CachePolicyKind::kStreaming;
  config.slots = 8;
  config.sinks = 4;
  StreamingPolicy policy(config);
  CHECK_FALSE(policy.needs().mass);

  // One token after the other, evicting after each.
  CacheState cache = numbered_cache(1, 1, 8, 2, 1);
  for (int64_t token = 8; token < 12; ++token) {
    const auto added = torch::full({1, 1, 1, 2}, static_cast<double>(token));
    cache = policy.compress({torch::cat({cache.k_BGSD, added}, 2),
                             torch::cat({cache.v_BGSD, added}, 2), torch::Tensor()});
  }
  CHECK_SAME(slot_numbers(cache).flatten(),
             torch::tensor({0.0F, 1.0F, 2.0F, 3.0F, 8.0F, 9.0F, 10.0F, 11.0F}));
}

TEST_CASE("evicting block by block keeps what evicting token by token keeps", "[lococo]") {
  CacheConfig config;
  config.policy = CachePolicyKind::kStreaming;
  config.slots = 5;
  config.sinks = 2;
  StreamingPolicy policy(config);
  const auto all = numbered_cache(1, 2, 13, 4, 1);
  auto cut = [&](int64_t begin, int64_t end) { return all.v_BGSD.slice(2, begin, end); };
  auto by_token = CacheState{cut(0, 5), cut(0, 5), torch::Tensor()};
  for (int64_t t = 5; t < 13; ++t) {
    const auto v = torch::cat({by_token.v_BGSD, cut(t, t + 1)}, 2);
    by_token = policy.compress({v, v, torch::Tensor()});
  }
  const auto v = torch::cat({cut(0, 5), cut(5, 13)}, 2);
  CHECK_SAME(policy.compress({v, v, torch::Tensor()}).v_BGSD, by_token.v_BGSD);
}
