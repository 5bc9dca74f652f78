#include "soft/soft_cache.h"

#include <cmath>

#include "lococo/retention.h"
#include "soft/soft_cache_fused.h"
#include "tensor/kit/torch.h"
#include "tests/support/catch.h"
#include "tests/support/policies.h"
#include "tests/support/tensors.h"

using namespace lococo;
using namespace lococo::testing;

TEST_CASE("the gradient of a gate is that of finite differences", "[soft]") {
  const auto cache = taught_memory(6, 3, 0.5);
  RetentionPolicy policy(cache, {6, 1, 4}, 1);
  policy.to(torch::kFloat64);
  const auto x = [](at::IntArrayRef sizes, uint64_t seed) {
    return normal(sizes, seed, torch::kFloat64);
  };
  const auto h_BTE = x({1, 20, 6}, 1);
  const SoftAttentionInput input = {x({1, 2, 20, 4}, 2), x({1, 1, 20, 4}, 3), x({1, 1, 20, 4}, 4),
                                    AttentionBackend::kReference};
  const auto probe = x({1, 2, 20, 4}, 5);
  const auto objective = [&] {
    return (policy.attend_softly(h_BTE, input, soft_form(cache, 0.5)) * probe).sum();
  };
  // Without the mass's own path, which is cut: w is 0.
  torch::autograd::AutoGradMode on(true);
  {
    torch::NoGradGuard no_grad;
    policy.gate->mass_weight.zero_();
  }
  policy.zero_grad();
  objective().backward();
  for (auto& weight : {policy.gate->skip_weight, policy.gate->hidden_weight}) {
    const auto grad = weight.grad().clone();
    torch::NoGradGuard no_grad;
    auto flat = weight.view({-1});
    for (int64_t i = 0; i < 5; ++i) {
      constexpr double kStep = 1e-5;
      const double at = flat[i].item<double>();
      flat[i] = at + kStep;
      const double above = objective().item<double>();
      flat[i] = at - kStep;
      const double below = objective().item<double>();
      flat[i] = at;
      const double want = (above - below) / (2 * kStep), got = grad.view({-1})[i].item<double>();
      CHECK(std::abs(got - want) < 1e-5 * std::max(1.0, std::abs(want)));
    }
  }
}

TEST_CASE("the fused node has the values and gradients of the slow form", "[soft]") {
  const auto [alone, massed] = GENERATE(table<int64_t, int64_t>({{3, 3}, {6, 0}, {0, 6}}));
  const int64_t block = GENERATE(4, 8), T = GENERATE(29, 40);
  CAPTURE(alone, massed, block, T);
  SoftCache cache;
  cache.keep = {1, 2, alone, massed, 0.3};
  cache.block = block;
  cache.score_decay = 0.8;
  cache.score_distance = 2;
  const auto leaf = [](at::IntArrayRef sizes, uint64_t seed) {
    return normal(sizes, seed, torch::kFloat64).requires_grad_();
  };
  const auto leaves_of = [&] {
    return std::vector<torch::Tensor>{leaf({2, 4, T, 8}, 1), leaf({2, 2, T, 8}, 2),
                                      leaf({2, 2, T, 8}, 3), leaf({2, 2, T}, 4), leaf({2}, 5)};
  };
  const auto got = leaves_of(), want = leaves_of();
  const auto input = [](const std::vector<torch::Tensor>& x) -> SoftAttentionInput {
    return {x[0], x[1], x[2], AttentionBackend::kReference};
  };
  const auto out = soft_cache_attention_fused(input(got), cache, got[3], got[4]);
  const auto out_want = soft_cache_attention_reference(input(want), cache, want[3], want[4]);
  CHECK_CLOSE(out, out_want, /*factor=*/1e5);  // masses are float32
  const auto probe = normal(out.sizes(), 6, torch::kFloat64);
  (out * probe).sum().backward();
  (out_want * probe).sum().backward();
  for (size_t i = 0; i < got.size(); ++i) {
    INFO("input " << i);
    if (i == 4 && massed == 0) continue;
    CHECK_CLOSE(got[i].grad(), want[i].grad(), /*factor=*/1e5);
  }
}
