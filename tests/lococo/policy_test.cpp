// What every cache policy promises, over one table of all of them.

#include <functional>

#include "lococo/cache_policy.h"
#include "tensor/kit/torch.h"
#include "tests/support/catch.h"
#include "tests/support/gradcheck.h"
#include "tests/support/policies.h"
#include "tests/support/tensors.h"

using namespace lococo;
using namespace lococo::testing;

namespace {

constexpr int64_t kB = 2, kE = 10, kG = 3, kD = 4;

/// Calls body(case, policy, cache) for every policy and caches of several sizes.
template <typename Body>
void for_each_policy(const Body& body) {
  for (const auto& policy_case : all_policies()) {
    const int64_t slots = policy_case.cache.slots;
    const auto policy = make_cache_policy(policy_case.cache, {kE, kG, kD}, /*init_seed=*/3);
    for (const int64_t S : {slots + 1, slots + policy_case.cache.block, 2 * slots + 3}) {
      INFO(policy_case.name << ", " << S << " slots");
      body(policy_case.cache, *policy,
           numbered_cache(policy_case.cache, kB, kG, S, kD, static_cast<uint64_t>(S)));
    }
  }
}

/// `change` applied to everything that the cache holds of its slots.
CacheState with_each(const CacheState& cache,
                     const std::function<torch::Tensor(const torch::Tensor&)>& change) {
  CacheState changed;
  for (const auto& field : CacheState::fields()) {
    if ((cache.*field.slots).defined()) changed.*field.slots = change(cache.*field.slots);
  }
  return changed;
}

}  // namespace

TEST_CASE("every policy leaves exactly its slots", "[lococo]") {
  for_each_policy([](const CacheConfig& config, CachePolicy& policy, const CacheState& cache) {
    const auto result = policy.compress(cache);
    CHECK(result.size() == config.slots);
    CHECK(result.k_BGSD.sizes() == at::IntArrayRef({kB, kG, config.slots, kD}));
    CHECK(result.v_BGSD.sizes() == result.k_BGSD.sizes());
    REQUIRE(result.mass_BGS.defined() == policy.needs().mass);
    if (policy.needs().mass) {
      CHECK(result.mass_BGS.sizes() == at::IntArrayRef({kB, kG, config.slots}));
      CHECK(result.mass_BGS.scalar_type() == torch::kFloat32);
      CHECK_FALSE(result.mass_BGS.requires_grad());
    }
  });
}

TEST_CASE("every policy keeps sinks and the newest tokens unchanged", "[lococo]") {
  for_each_policy([](const CacheConfig& config, CachePolicy& policy, const CacheState& cache) {
    const auto result = policy.compress(cache);
    const bool streaming = config.policy == CachePolicyKind::kStreaming;
    const int64_t local = streaming ? config.slots - config.sinks : config.local;
    // The official order puts mixed slots behind the kept ones; every other cache lies in time
    // order.
    const bool mixed_last =
        config.policy == CachePolicyKind::kLococo && config.keys == KeyKind::kRotated;
    const int64_t end = mixed_last ? config.kept_slots() : config.slots;
    auto check = [&](const torch::Tensor& got, const torch::Tensor& want) {
      CHECK_SAME(got.narrow(2, 0, config.sinks), want.narrow(2, 0, config.sinks));
      CHECK_SAME(got.narrow(2, end - local, local), want.narrow(2, cache.size() - local, local));
    };
    check(result.k_BGSD, cache.k_BGSD);
    check(result.v_BGSD, cache.v_BGSD);
    if (policy.needs().mass)
      check(result.mass_BGS, cache.mass_BGS * config.score_factor(cache.size()));
  });
}

TEST_CASE("every policy keeps unmixed slots bit for bit and in order of time", "[lococo]") {
  for_each_policy([](const CacheConfig& config, CachePolicy& policy, const CacheState& cache) {
    const auto result = policy.compress(cache);
    // A slot is unmixed if its key and its value are those of a slot of the cache.
    const auto same = [](const torch::Tensor& slots, const torch::Tensor& cached) {
      return (slots.unsqueeze(3) == cached.unsqueeze(2)).all(/*dim=*/-1);
    };
    const auto same_BGMS = same(result.k_BGSD, cache.k_BGSD) & same(result.v_BGSD, cache.v_BGSD);
    const auto unmixed_BGM = same_BGMS.any(/*dim=*/-1);
    CHECK((unmixed_BGM.sum(-1) >= config.kept_slots()).all().item<bool>());
    const auto from_BGM = same_BGMS.to(torch::kInt64).argmax(-1);
    const auto numbers_BGM = slot_numbers(result);
    for (int64_t b = 0; b < kB; ++b) {
      for (int64_t g = 0; g < kG; ++g) {
        const auto from = from_BGM[b][g].masked_select(unmixed_BGM[b][g]);
        CHECK_SAME(numbers_BGM[b][g].masked_select(unmixed_BGM[b][g]), from.to(torch::kFloat32));
        const bool in_order = (from.diff() > 0).all().item<bool>();
        const bool starts_as_h2o = config.init == ConvInit::kIdentity;
        CHECK((in_order || (starts_as_h2o && config.keys == KeyKind::kRotated)));
      }
    }
  });
}

TEST_CASE("every policy treats each sequence and head by itself", "[lococo]") {
  for_each_policy([](const CacheConfig&, CachePolicy& policy, const CacheState& cache) {
    const auto together = policy.compress(cache);
    const auto alone = policy.compress(with_each(cache, [&](const torch::Tensor& x) {
      return x.narrow(0, 1, 1).index_select(1, torch::full({kG}, 2, torch::kInt64));
    }));
    CHECK_CLOSE(alone.k_BGSD[0][2], together.k_BGSD[1][2]);
    CHECK_CLOSE(alone.v_BGSD[0][2], together.v_BGSD[1][2]);
    if (policy.needs().mass) CHECK_CLOSE(alone.mass_BGS[0][2], together.mass_BGS[1][2]);
  });
}

TEST_CASE("every policy leaves the cache that it was given as it was", "[lococo]") {
  for_each_policy([](const CacheConfig&, CachePolicy& policy, const CacheState& cache) {
    const auto before = with_each(cache, [](const torch::Tensor& x) { return x.clone(); });
    auto result = policy.compress(cache);
    const torch::NoGradGuard no_grad;
    for (const auto& [slots, home] : CacheState::fields()) {
      if ((result.*slots).defined()) (result.*slots).zero_();
      if ((cache.*slots).defined()) CHECK_SAME(cache.*slots, before.*slots);
    }
  });
}

TEST_CASE("every policy may be prepared for a sequence, whatever the cache holds", "[lococo]") {
  for_each_policy([](const CacheConfig& config, CachePolicy& policy, const CacheState& cache) {
    const auto want = policy.compress(cache);
    auto homeless = cache, homed = at_home(cache, cache.size() + 5);
    auto never_full = at_home(
        with_each(cache, [](const torch::Tensor& x) { return x.narrow(2, 0, 1); }), config.slots);
    for (CacheState* state : {&homeless, &homed, &never_full}) {
      policy.prepare(*state);
      const int64_t S = state->size();
      CHECK_SAME(state->k_BGSD, cache.k_BGSD.narrow(2, 0, S));
      CHECK_SAME(state->v_BGSD, cache.v_BGSD.narrow(2, 0, S));
      CHECK_SAME(state->mass_BGS, cache.mass_BGS.narrow(2, 0, S));
    }
    homed.use_home(0);
    policy.prepare(homed);  // as it is before a sequence
    CHECK(homed.size() == 0);
    homed.use_home(cache.size());
    for (const auto& state : {homeless, homed}) {
      const auto result = policy.compress(state);
      CHECK_SAME(result.k_BGSD, want.k_BGSD);
      CHECK_SAME(result.v_BGSD, want.v_BGSD);
      if (policy.needs().mass) CHECK_SAME(result.mass_BGS, want.mass_BGS);
    }
  });
}

TEST_CASE("every policy refuses a cache that fits already", "[lococo]") {
  for (const auto& policy_case : all_policies()) {
    INFO(policy_case.name);
    const auto policy = make_cache_policy(policy_case.cache, {kE, kG, kD}, 3);
    const auto cache = numbered_cache(policy_case.cache, kB, kG, policy_case.cache.slots, kD, 1);
    CHECK_THROWS_AS(policy->compress(cache), c10::Error);
  }
}

TEST_CASE("only a learning policy has parameters, and only they get a gradient", "[lococo]") {
  for_each_policy([](const CacheConfig& config, CachePolicy& policy, const CacheState& cache) {
    const auto result = policy.compress(cache);
    CHECK(policy.parameters().empty() != config.learns());
    const bool learns = config.has_convs() && config.mixed_slots() > 0;
    CHECK(result.k_BGSD.requires_grad() == (learns && config.mix_keys && !config.has_retention()));
    CHECK(result.v_BGSD.requires_grad() == learns);
    CHECK_FALSE(cache.k_BGSD.requires_grad());
  });
}

TEST_CASE("every policy hands gradients on to keys and values that want one", "[lococo]") {
  for_each_policy([](const CacheConfig&, CachePolicy& policy, const CacheState& cache) {
    CacheState wanting = cache;
    wanting.k_BGSD = cache.k_BGSD.detach().clone().requires_grad_();
    wanting.v_BGSD = cache.v_BGSD.detach().clone().requires_grad_();
    const auto result = policy.compress(wanting);
    (weighted_sum(result.k_BGSD) + weighted_sum(result.v_BGSD)).backward();
    for (const auto& given : {wanting.k_BGSD, wanting.v_BGSD}) {
      REQUIRE(given.grad().defined());
      CHECK(given.grad().abs().sum().item<double>() > 0.0);
    }
  });
}

TEST_CASE("every policy moves scores and places with the slots that stay", "[lococo]") {
  for_each_policy([](const CacheConfig& config, CachePolicy& policy, const CacheState& cache) {
    const auto result = policy.compress(cache);
    CHECK(result.score_BGS.defined() == policy.needs().score);
    CHECK(result.place_BGS.defined() == (config.positions == PositionKind::kText));
    // By their keys: values may be mixtures.
    const auto is_same_BGMS =
        (result.k_BGSD.unsqueeze(3) == cache.k_BGSD.unsqueeze(2)).all(/*dim=*/-1);
    const auto number_BGM = is_same_BGMS.to(torch::kInt64).argmax(/*dim=*/-1);
    if (result.place_BGS.defined())
      CHECK_SAME(result.place_BGS, cache.place_BGS.gather(2, number_BGM));
    if (result.score_BGS.defined())
      CHECK_SAME(result.score_BGS, cache.score_BGS.gather(2, number_BGM));
  });
}

TEST_CASE("policy none is no policy at all", "[lococo]") {
  CHECK(make_cache_policy(CacheConfig{}, {kE, kG, kD}, 1) == nullptr);
}
