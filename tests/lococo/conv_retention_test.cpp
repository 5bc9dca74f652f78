#include "lococo/conv_retention.h"

#include "lococo/selection.h"
#include "tensor/kit/torch.h"
#include "tests/support/catch.h"
#include "tests/support/policies.h"
#include "tests/support/tensors.h"

using namespace lococo;
using namespace lococo::testing;

namespace {

constexpr int64_t kB = 2, kG = 2, kD = 4, kE = 6, kS = 15;

CacheConfig mixed_config() {
  CacheConfig config = taught_memory(/*slots=*/9, /*block=*/6, /*alone_fraction=*/0.5);
  config.retention_units = 3;
  config.mixing = MixingKind::kConv;
  config.kernel_size = 3;
  config.init = ConvInit::kFanIn;
  return config;
}

std::shared_ptr<ConvRetention> policy_with(double normalizer) {
  auto policy = std::make_shared<ConvRetention>(mixed_config(), PolicyShape{kE, kG, kD}, 1);
  torch::NoGradGuard no_grad;
  policy->normalizer().fill_(normalizer);
  return policy;
}

CacheState some_cache() { return numbered_cache(mixed_config(), kB, kG, kS, kD, /*seed=*/7); }

void check_all_but_values(const CacheState& got, const CacheState& want) {
  CHECK_SAME(got.k_BGSD, want.k_BGSD);
  CHECK_SAME(got.score_BGS, want.score_BGS);
  CHECK_SAME(got.mass_BGS, want.mass_BGS);
  CHECK_SAME(got.place_BGS, want.place_BGS);
}

bool has(const torch::Tensor& list, int64_t number) { return (list == number).any().item<bool>(); }

}  // namespace

TEST_CASE("with a normalizer of 0 nothing is mixed: it is retention", "[lococo]") {
  const auto policy = policy_with(0.0);
  CacheConfig plain = mixed_config();
  plain.mixing = MixingKind::kNone;
  RetentionPolicy retention(plain, PolicyShape{kE, kG, kD}, 1);
  const auto cache = some_cache();
  const auto got = policy->compress(cache), want = retention.compress(cache);
  check_all_but_values(got, want);
  CHECK_SAME(got.v_BGSD, want.v_BGSD);
}

TEST_CASE("slots that score with mass chose get a share of what is dropped", "[lococo]") {
  constexpr double kShare = 0.25;
  const auto policy = policy_with(kShare), apart = policy_with(0.0);
  const auto cache = some_cache();
  const auto got = policy->compress(cache), own = apart->compress(cache);
  check_all_but_values(got, own);
  const CacheConfig config = mixed_config();
  SlotShares firm_shares = shares_of(config);
  firm_shares.massed = 0;
  const auto firm = select_two_shares(cache.score_BGS, {}, firm_shares);
  const auto kept = slot_numbers(own).to(torch::kInt64);

  // The mixer's own weights for one head at a time, over the slots that are not firm.
  auto mixer_owner = std::make_shared<torch::nn::Module>();
  TimeMixer mixer(mixer_owner.get(), config, kG, kD, 1);
  for (int64_t b = 0; b < kB; ++b) {
    for (int64_t g = 0; g < kG; ++g) {
      std::vector<int64_t> rest;
      for (int64_t s = 0; s < kS; ++s)
        if (!has(firm[b][g], s)) rest.push_back(s);
      const auto index = torch::tensor(rest).view({1, 1, -1});
      CacheState head;
      head.k_BGSD = gather_slots(cache.k_BGSD[b][g].view({1, 1, kS, kD}), index);
      head.v_BGSD = gather_slots(cache.v_BGSD[b][g].view({1, 1, kS, kD}), index);
      const auto weights_RS = mixer.weights(head)[0][0];
      int64_t mixed = 0;
      for (int64_t m = 0; m < config.slots; ++m) {
        const int64_t slot = kept[b][g][m].item<int64_t>();
        auto want = cache.v_BGSD[b][g][slot];
        if (!has(firm[b][g], slot)) {
          const auto mixture = torch::mv(head.v_BGSD[0][0].t(), weights_RS[mixed++]);
          want = (1 - kShare) * want + kShare * mixture;
        }
        INFO(b << ' ' << g << ' ' << m);
        CHECK_CLOSE(got.v_BGSD[b][g][m], want);
      }
      CHECK(mixed == config.massed_slots());
    }
  }
}

TEST_CASE("gradients reach what mixes, and the values; the gate has none", "[lococo]") {
  const auto policy = policy_with(0.5);
  auto cache = some_cache();
  cache.v_BGSD = cache.v_BGSD.clone().requires_grad_();
  policy->compress(cache).v_BGSD.square().sum().backward();
  for (const auto& item : policy->named_parameters()) {
    INFO(item.key());
    const bool mixes = item.key().find("retention") == std::string::npos;
    REQUIRE(item.value().grad().defined() == mixes);
    if (mixes) CHECK(item.value().grad().abs().sum().item<double>() > 0.0);
  }
  CHECK(cache.v_BGSD.grad().abs().sum().item<double>() > 0.0);
}
