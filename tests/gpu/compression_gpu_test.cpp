// The kernels that compress a cache against the reference, which runs on float32 copies.
#include "lococo/selection.h"
#include "tests/gpu/compression_cases.h"
#include "tests/support/gpu.h"

using namespace lococo;
using namespace lococo::testing;

TEST_CASE("the selection kernel chooses what the reference chooses", "[gpu]") {
  require_cuda();
  for (const int64_t S : {101, 1023, 1024, 1025, 2049, 4096, 4608, 8192}) {
    for (const auto keys : {KeyKind::kRotated, KeyKind::kUnrotated}) {
      const Case c = {2, 3, S, 8, /*slots=*/80, 0.6, /*sinks=*/4, /*local=*/9, 1};
      const auto config = config_of(c, CachePolicyKind::kLococo, keys);
      INFO(text(c));
      // Some masses are negative.
      const auto mass = distinct_masses(c.B, c.G, S, static_cast<uint64_t>(S)) - 7.0;
      const auto plan = plan_slots(mass.to(kGpu), config);
      const auto want = select_slots(mass, config.kept_slots(), config.sinks, config.local);
      const auto residual = std::get<0>(
          std::get<1>(gather_slots(mass, want.rest_BGS).topk(config.mixed_slots(), -1)).sort(-1));
      const auto source =
          torch::cat({want.kept_BGM, want.rest_BGS.gather(2, residual)}, 2).flatten(0, 1);
      const auto places = torch::arange(c.slots).expand_as(source);
      const auto in_time = source.argsort(int64_t{-1}).argsort(int64_t{-1});
      auto wide = [](const torch::Tensor& list) { return list.cpu().to(torch::kInt64); };
      CHECK_SAME(wide(plan.rest_XS), want.rest_BGS.flatten(0, 1));
      CHECK_SAME(wide(plan.residual_XR), residual.flatten(0, 1));
      CHECK_SAME(wide(plan.source_XM), source);
      CHECK_SAME(wide(plan.target_XM), keys == KeyKind::kRotated ? places : in_time);
    }
  }
}

TEST_CASE("of equal masses the selection kernel takes the lower slots", "[gpu]") {
  require_cuda();
  const Case c = {1, 2, 1500, 8, /*slots=*/40, 0.5, /*sinks=*/3, /*local=*/5, 1};
  const auto config = config_of(c, CachePolicyKind::kLococo, KeyKind::kUnrotated);
  auto mass = torch::zeros({c.B, c.G, c.S});
  mass.select(2, 700).fill_(1.0);
  const auto plan = plan_slots(mass.to(kGpu), config);
  const auto kept =
      torch::cat({torch::arange(14), torch::tensor({700}), torch::arange(1495, 1500)});
  const auto source = torch::cat({kept, torch::arange(14, 34)});
  CHECK_SAME(plan.source_XM[1].cpu().to(torch::kInt64), source);
  CHECK_SAME(plan.residual_XR[0].cpu().to(torch::kInt64), torch::arange(20));
}

TEST_CASE("LoCoCo's kernels agree with the reference, gradients included", "[gpu]") {
  require_cuda();
  for (const auto& c : cases()) {
    for (const auto& [keys, mix_keys] : {std::pair{KeyKind::kRotated, true},
                                         {KeyKind::kUnrotated, true},
                                         {KeyKind::kUnrotated, false}}) {
      INFO(text(c) << (keys == KeyKind::kRotated ? " rotated" : " unrotated") << " mix_keys "
                   << mix_keys);
      auto config = config_of(c, CachePolicyKind::kLococo, keys);
      config.normalizer_per_head = keys == KeyKind::kUnrotated;
      config.mix_keys = mix_keys;
      const auto memory = make_memory(config, c);
      const auto cache = random_cache(c, 7);
      REQUIRE(use_fused_compression(cache, config));
      REQUIRE_FALSE(use_fused_compression(widened(cache), config));
      const auto result = memory->compress(cache);
      CHECK(result.k_BGSD.requires_grad() == mix_keys);
      CHECK(result.v_BGSD.requires_grad());
      CHECK_FALSE(result.mass_BGS.requires_grad());
      check_close(result, memory->compress(widened(cache)));
      check_gradients(gradients_of(*memory, cache, loss_of_both),
                      gradients_of(*memory, widened(cache), loss_of_both));
    }
  }
}

TEST_CASE("policies that mix nothing copy the same slots as the reference", "[gpu]") {
  require_cuda();
  for (const auto& c : cases()) {
    for (const auto policy :
         {CachePolicyKind::kStreaming, CachePolicyKind::kH2o, CachePolicyKind::kLococo}) {
      INFO(text(c) << " policy " << static_cast<int>(policy));
      auto config = config_of(c, policy, KeyKind::kUnrotated);
      config.keep_fraction = 1.0;
      const auto cache = random_cache(c, 8);
      REQUIRE(use_fused_compression(cache, config));
      const auto memory =
          make_cache_policy(config, {/*hidden_size=*/64, c.G, c.D}, /*init_seed=*/1);
      const auto result = memory->compress(cache);
      CHECK(result.k_BGSD.scalar_type() == torch::kBFloat16);
      CHECK_FALSE(result.k_BGSD.requires_grad());
      check_same(widened(result), memory->compress(widened(cache)));
    }
  }
}

TEST_CASE("LoCoCo's kernels with normalizer 0 copy the residual tokens", "[gpu]") {
  require_cuda();
  const Case c = {2, 3, 131, 64, 64, 0.5, 1, 2, 5};
  const auto config = config_of(c, CachePolicyKind::kLococo, KeyKind::kUnrotated);
  const auto memory = make_memory(config, c);
  const torch::NoGradGuard no_grad;
  memory->normalizer().fill_(0.0);
  const auto cache = random_cache(c, 9);
  check_same(widened(memory->compress(cache)), memory->compress(widened(cache)));
}

TEST_CASE("the kernels take caches that are parts of larger tensors", "[gpu]") {
  require_cuda();
  const Case c = {2, 3, 131, 64, 64, 0.5, 1, 2, 5};
  const auto cache = random_cache(c, 10);
  // Heads inside tokens, as projections deliver them; and rows of a buffer with room to grow.
  CacheState parts = {
      torch::zeros({c.B, c.S + 7, c.G, c.D}, cache.k_BGSD.options())
          .transpose(1, 2)
          .narrow(2, 3, c.S),
      torch::zeros({c.B, c.G, c.S + 9, c.D}, cache.k_BGSD.options()).narrow(2, 0, c.S),
      torch::zeros({c.B, c.G, c.S + 5}, cache.mass_BGS.options()).narrow(2, 1, c.S)};
  parts.k_BGSD.copy_(cache.k_BGSD);
  parts.v_BGSD.copy_(cache.v_BGSD);
  parts.mass_BGS.copy_(cache.mass_BGS);
  const torch::NoGradGuard no_grad;
  for (const auto policy :
       {CachePolicyKind::kStreaming, CachePolicyKind::kH2o, CachePolicyKind::kLococo}) {
    INFO("policy " << static_cast<int>(policy));
    const auto config = config_of(c, policy, KeyKind::kUnrotated);
    const auto memory = make_cache_policy(config, {/*hidden_size=*/64, c.G, c.D}, /*init_seed=*/1);
    memory->to(kGpu);
    REQUIRE(use_fused_compression(parts, config));
    check_same(memory->compress(parts), memory->compress(cache));
  }
}

TEST_CASE("the kernels refuse what they cannot read", "[gpu]") {
  require_cuda();
  const Case c = {1, 2, 131, 64, 64, 0.5, 1, 2, 5};
  auto config = config_of(c, CachePolicyKind::kLococo, KeyKind::kUnrotated);
  const auto cache = random_cache(c, 11);
  CHECK(use_fused_compression(cache, config));
  auto odd = cache;
  odd.v_BGSD = torch::zeros({c.B, c.G, c.S, c.D + 4}, cache.v_BGSD.options()).narrow(3, 0, c.D);
  CHECK_FALSE(use_fused_compression(odd, config));  // rows that do not lie on 16 bytes
  odd.v_BGSD = cache.v_BGSD.transpose(2, 3).contiguous().transpose(2, 3);
  CHECK_FALSE(use_fused_compression(odd, config));  // channels that are not neighbours
  config.conv_layers = 2;
  CHECK_FALSE(use_fused_compression(cache, config));
  config.conv_layers = 1;
  config.slots = 66;  // 33 mixed slots
  CHECK_FALSE(use_fused_compression(cache, config));
  const auto long_mass = torch::zeros({1, 2, 8193}, cache.mass_BGS.options());
  CHECK_THROWS_AS(plan_slots(long_mass, config), c10::Error);
}

TEST_CASE("only the gradients that are wanted are computed, from those that exist", "[gpu]") {
  require_cuda();
  const Case c = {2, 3, 131, 64, 64, 0.5, 1, 2, 5};
  const auto config = config_of(c, CachePolicyKind::kLococo, KeyKind::kUnrotated);
  const auto memory = make_memory(config, c);
  const auto cache = random_cache(c, 12);
  auto only_values = [](const CacheState& result) { return weighted_sum(result.v_BGSD); };
  auto only_keys = [](const CacheState& result) {
    return result.k_BGSD.to(torch::kFloat32).sum();  // its gradient has no strides of its own
  };
  check_gradients(gradients_of(*memory, cache, only_values),
                  gradients_of(*memory, widened(cache), only_values));
  check_gradients(gradients_of(*memory, cache, only_keys),
                  gradients_of(*memory, widened(cache), only_keys));

  const auto all = gradients_of(*memory, cache, loss_of_both);
  auto parameters = memory->parameters();
  for (size_t i = 0; i < parameters.size(); ++i) {
    const auto loss = loss_of_both(memory->compress(cache));
    CHECK_SAME(torch::autograd::grad({loss}, {parameters[i]})[0], all[i]);
    for (size_t j = 0; j < parameters.size(); ++j) parameters[j].set_requires_grad(i == j);
    const auto loss_of_one = loss_of_both(memory->compress(cache));
    CHECK_SAME(torch::autograd::grad({loss_of_one}, {parameters[i]})[0], all[i]);
    for (auto& parameter : parameters) parameter.set_requires_grad(true);
  }
}

TEST_CASE("a compression by the kernels gives the same bits every time", "[gpu]") {
  require_cuda();
  const Case c = {2, 4, 1024, 128, 512, 0.5, 4, 64, 21};
  const auto config = config_of(c, CachePolicyKind::kLococo, KeyKind::kUnrotated);
  const auto memory = make_memory(config, c);
  const auto cache = random_cache(c, 13);
  const auto first = memory->compress(cache);
  const auto first_gradients = gradients_of(*memory, cache, loss_of_both);
  for (int i = 0; i < 3; ++i) {
    check_same(memory->compress(cache), first);
    const auto gradients = gradients_of(*memory, cache, loss_of_both);
    for (size_t p = 0; p < gradients.size(); ++p) CHECK_SAME(gradients[p], first_gradients[p]);
  }
}
