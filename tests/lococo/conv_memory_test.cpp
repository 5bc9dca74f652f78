#include "lococo/conv_memory.h"

#include "lococo/heavy_hitter.h"
#include "tensor/kit/torch.h"
#include "tests/support/catch.h"
#include "tests/support/gradcheck.h"
#include "tests/support/policies.h"
#include "tests/support/tensors.h"

using namespace lococo;
using namespace lococo::testing;

namespace {

constexpr int64_t kHeads = 2;  // where one normalizer serves all heads, any number will do

CacheConfig memory_config(KeyKind keys, int64_t slots = 4) {
  CacheConfig config;
  config.policy = CachePolicyKind::kLococo;
  config.slots = slots;
  config.kernel_size = 3;
  config.keys = keys;
  return config;
}

void set(ConvMemory& memory, const std::string& part, double value) {
  const torch::NoGradGuard no_grad;
  for (auto& item : memory.named_parameters()) {
    if (item.key().find(part) != std::string::npos) item.value().fill_(value);
  }
}

/// Six tokens with the scores of the worked example; their values are the rows of `v_SD`.
CacheState worked_cache(const torch::Tensor& v_SD) {
  const auto v = v_SD.view({1, 1, 6, -1});
  return {v.clone(), v.clone(),
          torch::tensor({5.0F, 1.0F, 4.0F, 2.0F, 3.0F, 0.0F}).view({1, 1, 6})};
}

}  // namespace

TEST_CASE("LoCoCo's worked example: heavy hitters 0 and 2, two slots mixed of the rest",
          "[lococo]") {
  // Unit vectors as values make a mixed slot show its row of the mixing matrix W.
  ConvMemory memory(memory_config(KeyKind::kRotated), /*kv_heads=*/kHeads, /*head_dim=*/6,
                    /*init_seed=*/1);
  set(memory, "layers",
      0.0);  // the convolution's output is 0, so its softmax is uniform over the rest
  const auto result = memory.compress(worked_cache(torch::eye(6)));
  const auto want = torch::tensor({{1.0F, 0.0F, 0.0F, 0.0F, 0.0F, 0.0F},
                                   {0.0F, 0.0F, 1.0F, 0.0F, 0.0F, 0.0F},
                                   {0.0F, .125F, 0.0F, .625F, .125F, .125F},
                                   {0.0F, .125F, 0.0F, .125F, .625F, .125F}});
  CHECK_CLOSE(result.v_BGSD[0][0], want);
  CHECK_CLOSE(result.k_BGSD[0][0], want);
  // An accumulated score mixes like the slot: 0.5 * 2 + 0.5 * mean(1, 2, 3, 0), and so on.
  CHECK_CLOSE(result.mass_BGS[0][0], torch::tensor({5.0F, 4.0F, 1.75F, 2.25F}));
}

TEST_CASE("LoCoCo's worked example: merged values 3.125 and 3.625", "[lococo]") {
  const auto keys = GENERATE(KeyKind::kRotated, KeyKind::kUnrotated);
  ConvMemory memory(memory_config(keys), /*kv_heads=*/kHeads, /*head_dim=*/1, /*init_seed=*/1);
  set(memory, "layers", 0.0);
  const auto result = memory.compress(worked_cache(torch::arange(6, torch::kFloat32).view({6, 1})));
  // Residual tokens 3 and 4 come after the kept 0 and 2, so both orders are the same here.
  CHECK_CLOSE(slot_numbers(result).flatten(), torch::tensor({0.0F, 2.0F, 3.125F, 3.625F}));
}

TEST_CASE("the mixture of a slot follows the convolution over time, with zeros beyond the ends",
          "[lococo]") {
  auto config = memory_config(KeyKind::kRotated);
  config.keep_fraction = 0.0;
  ConvMemory memory(config, /*kv_heads=*/kHeads, /*head_dim=*/2, /*init_seed=*/3);
  set(memory, "normalizer", 1.0);
  const auto cache = numbered_cache(1, 1, 6, 2, 4);
  const auto result = memory.compress(cache);

  const auto parameters = memory.named_parameters();
  const auto weight = parameters["layers.0.weight"], bias = parameters["layers.0.bias"];
  const auto x_SC = torch::cat({cache.k_BGSD, cache.v_BGSD}, -1)[0][0];
  const auto padded = torch::cat({torch::zeros({1, 4}), x_SC, torch::zeros({1, 4})});
  auto logits_RS = torch::zeros({4, 6});
  for (int64_t r = 0; r < 4; ++r) {
    for (int64_t s = 0; s < 6; ++s) {
      const auto window_CK = padded.slice(0, s, s + 3).t();
      logits_RS[r][s] = torch::relu((weight[r] * window_CK).sum() + bias[r]).item<float>();
    }
  }
  const auto want = torch::mm(torch::softmax(logits_RS, -1), cache.v_BGSD[0][0]);
  CHECK_CLOSE(result.v_BGSD[0][0], want);
}

TEST_CASE("LoCoCo with normalizer 0 keeps exactly the H2O slots", "[lococo]") {
  const auto keys = GENERATE(KeyKind::kRotated, KeyKind::kUnrotated);
  for (const auto& [slots, sinks, local, keep] :
       {std::tuple{8, 0, 0, 0.5}, {7, 1, 2, 0.5}, {9, 2, 1, 0.4}, {5, 0, 0, 0.0}, {6, 1, 1, 1.0}}) {
    INFO("slots " << slots << " keep " << keep);
    auto config = memory_config(keys, slots);
    config.sinks = sinks;
    config.local = local;
    config.keep_fraction = keep;
    ConvMemory memory(config, /*kv_heads=*/kHeads, /*head_dim=*/4, /*init_seed=*/1);
    set(memory, "normalizer", 0.0);
    auto h2o_config = config;
    h2o_config.policy = CachePolicyKind::kH2o;
    HeavyHitterPolicy h2o(h2o_config);

    const auto cache = numbered_cache(2, 3, 2 * slots + 1, 4, 9);
    auto mixed = memory.compress(cache);
    const auto kept = h2o.compress(cache);
    if (keys == KeyKind::kRotated) {  // compare as sets: the official order puts mixed slots last
      const auto order = slot_numbers(mixed).argsort(int64_t{-1});
      const auto order_D = order.unsqueeze(-1).expand_as(mixed.k_BGSD);
      mixed = {mixed.k_BGSD.gather(2, order_D), mixed.v_BGSD.gather(2, order_D),
               mixed.mass_BGS.gather(2, order)};
    }
    CHECK_SAME(mixed.k_BGSD, kept.k_BGSD);
    CHECK_SAME(mixed.v_BGSD, kept.v_BGSD);
    CHECK_SAME(mixed.mass_BGS, kept.mass_BGS);
  }
}

TEST_CASE("unrotated slots lie in order of time, a mixed one at its residual token's place",
          "[lococo]") {
  auto config = memory_config(KeyKind::kRotated, 8);
  config.sinks = config.local = 1;
  const auto cache = numbered_cache(2, 2, 19, 4, 7);
  ConvMemory official(config, /*kv_heads=*/kHeads, /*head_dim=*/4, /*init_seed=*/5);
  config.keys = KeyKind::kUnrotated;
  ConvMemory timed(config, /*kv_heads=*/kHeads, /*head_dim=*/4,
                   /*init_seed=*/5);  // the same weights

  set(official, "normalizer",
      0.0);  // then the value's number is that of the kept or residual token
  const auto times = slot_numbers(official.compress(cache));
  set(official, "normalizer", 0.5);
  const auto mixed = official.compress(cache);
  const auto order = times.argsort(int64_t{-1});
  CHECK_FALSE(torch::equal(order, torch::arange(8).expand({2, 2, 8})));
  const auto order_D = order.unsqueeze(-1).expand_as(mixed.k_BGSD);
  const auto result = timed.compress(cache);
  CHECK_SAME(result.k_BGSD, mixed.k_BGSD.gather(2, order_D));
  CHECK_SAME(result.v_BGSD, mixed.v_BGSD.gather(2, order_D));
  CHECK_SAME(result.mass_BGS, mixed.mass_BGS.gather(2, order));
}

TEST_CASE("a normalizer for each head mixes each head by its own share", "[lococo]") {
  auto config = memory_config(KeyKind::kUnrotated, 8);
  const auto cache = numbered_cache(2, 2, 19, 4, 7);
  ConvMemory shared(config, /*kv_heads=*/2, /*head_dim=*/4, /*init_seed=*/5);
  config.normalizer_per_head = true;
  ConvMemory own(config, /*kv_heads=*/2, /*head_dim=*/4, /*init_seed=*/5);  // the same weights
  REQUIRE(own.normalizer().sizes() == at::IntArrayRef({2}));
  {
    const torch::NoGradGuard no_grad;
    own.normalizer().copy_(torch::tensor({0.25F, 0.75F}));
  }
  const auto result = own.compress(cache);
  for (const int64_t head : {0, 1}) {
    set(shared, "normalizer", head == 0 ? 0.25 : 0.75);
    const auto want = shared.compress(cache);
    CHECK_SAME(result.k_BGSD.select(1, head), want.k_BGSD.select(1, head));
    CHECK_SAME(result.v_BGSD.select(1, head), want.v_BGSD.select(1, head));
    CHECK_SAME(result.mass_BGS.select(1, head), want.mass_BGS.select(1, head));
  }
}

TEST_CASE("without mix_keys a mixed slot has the key of its residual token", "[lococo]") {
  auto config = memory_config(GENERATE(KeyKind::kRotated, KeyKind::kUnrotated), 8);
  const auto cache = numbered_cache(2, 2, 19, 4, 7);
  ConvMemory both(config, kHeads, /*head_dim=*/4, /*init_seed=*/5);
  config.mix_keys = false;
  ConvMemory values(config, kHeads, /*head_dim=*/4, /*init_seed=*/5);  // the same weights
  const auto want = both.compress(cache), got = values.compress(cache);
  CHECK_SAME(got.v_BGSD, want.v_BGSD);
  CHECK_SAME(got.mass_BGS, want.mass_BGS);
  set(both, "normalizer", 0.0);
  const auto unmixed = both.compress(cache);
  CHECK_FALSE(torch::equal(want.k_BGSD, unmixed.k_BGSD));
  CHECK_SAME(got.k_BGSD, unmixed.k_BGSD);
}

TEST_CASE("a channel given apart is convolved like the others", "[lococo]") {
  TimeConv conv(/*in_channels=*/5, /*out_channels=*/3, /*kernel_size=*/7);
  {
    const torch::NoGradGuard no_grad;
    conv->weight.copy_(normal({3, 5, 7}, 1));
    conv->bias.copy_(normal({3}, 2));
  }
  const auto x_XCS = normal({2, 5, 9}, 3);
  CHECK_CLOSE(conv->forward(x_XCS.narrow(1, 0, 4), x_XCS.select(1, 4)), conv->forward(x_XCS));
}

TEST_CASE("a convolution that sees masses can choose the heaviest of the rest", "[lococo]") {
  auto config = memory_config(KeyKind::kRotated);
  config.mass_channel = true;
  ConvMemory memory(config, kHeads, /*head_dim=*/1, /*init_seed=*/1);
  set(memory, "layers", 0.0);
  set(memory, "normalizer", 1.0);
  const auto weight = memory.named_parameters()["layers.0.weight"];
  REQUIRE(weight.sizes() == at::IntArrayRef({2, 3, 3}));
  {
    const torch::NoGradGuard no_grad;
    weight.select(1, 2).select(1, 1).fill_(1000.0);  // of the token itself
  }
  const auto cache = worked_cache(torch::arange(6, torch::kFloat32).view({6, 1}));
  // Of the rest 1, 3, 4 and 5 the heaviest is token 4.
  const auto result = memory.compress(cache);
  CHECK_CLOSE(slot_numbers(result).flatten(), torch::tensor({0.0F, 2.0F, 4.0F, 4.0F}));
  // Longer texts have larger masses; their unit does not matter.
  auto larger = cache;
  larger.mass_BGS = cache.mass_BGS * 64.0 + 1e-4;
  CHECK_CLOSE(slot_numbers(memory.compress(larger)), slot_numbers(result));
  auto negative = cache;  // as a normalizer beyond 1 can leave it
  negative.mass_BGS = cache.mass_BGS.clone();
  negative.mass_BGS[0][0][5] = -0.25F;
  CHECK(memory.compress(negative).v_BGSD.isfinite().all().item<bool>());
}

TEST_CASE("a compression lets all scores that stay decay", "[lococo]") {
  const auto keys = GENERATE(KeyKind::kRotated, KeyKind::kUnrotated);
  auto config = memory_config(keys, 8);
  config.sinks = 1;
  config.block = GENERATE(11, 22);  // the cache below has 11 new tokens: a block, or half of one
  const double factor = config.block == 11 ? 0.25 : 0.5;
  const auto cache = numbered_cache(2, 2, 19, 4, 7);
  ConvMemory whole(config, kHeads, /*head_dim=*/4, /*init_seed=*/5);
  HeavyHitterPolicy whole_h2o(config);
  config.score_decay = 0.25;
  ConvMemory decaying(config, kHeads, /*head_dim=*/4, /*init_seed=*/5);
  HeavyHitterPolicy decaying_h2o(config);
  const auto want = whole.compress(cache), got = decaying.compress(cache);
  CHECK_SAME(got.k_BGSD, want.k_BGSD);
  CHECK_SAME(got.mass_BGS, want.mass_BGS * factor);
  CHECK_SAME(decaying_h2o.compress(cache).mass_BGS, whole_h2o.compress(cache).mass_BGS * factor);
}

TEST_CASE("the gradients of kernel, bias and normalizer agree with differences", "[lococo]") {
  const auto keys = GENERATE(KeyKind::kRotated, KeyKind::kUnrotated);
  const int64_t conv_layers = GENERATE(1, 2);
  auto config = memory_config(keys, 5);
  config.conv_layers = conv_layers;
  config.expand = 2;
  config.init = ConvInit::kFanIn;
  config.normalizer_per_head = config.mass_channel = conv_layers == 2;
  config.mix_keys = GENERATE(true, false);
  ConvMemory memory(config, /*kv_heads=*/2, /*head_dim=*/3, /*init_seed=*/2);
  memory.to(torch::kFloat64);
  const auto cache = numbered_cache(2, 2, 9, 3, 3, torch::kFloat64);
  auto loss = [&] {
    const auto result = memory.compress(cache);
    return weighted_sum(result.k_BGSD, 1) + weighted_sum(result.v_BGSD, 2);
  };
  const auto parameters = memory.parameters();
  REQUIRE(parameters.size() == static_cast<size_t>(2 * conv_layers + 1));
  CHECK(gradient_error(loss, parameters) == "");
}

TEST_CASE("on a CPU a prepared cache has the results and gradients of one that is not",
          "[lococo]") {
  const auto dtype = GENERATE(torch::kFloat32, torch::kBFloat16);
  auto config = memory_config(KeyKind::kUnrotated, 16);
  config.init = ConvInit::kFanIn;
  ConvMemory memory(config, /*kv_heads=*/kHeads, /*head_dim=*/32, /*init_seed=*/2);
  const auto cache = numbered_cache(2, 2, 29, 32, 3, dtype);
  auto prepared = at_home(cache, 29);
  memory.prepare(prepared);
  CHECK_FALSE(prepared.prepared_KOC.defined());  // the reference reads the weights themselves
  auto gradients_of = [&](const CacheState& state) {
    const auto result = memory.compress(state);
    const auto loss = weighted_sum(result.k_BGSD.to(torch::kFloat32), 1) +
                      weighted_sum(result.v_BGSD.to(torch::kFloat32), 2);
    return torch::autograd::grad({loss}, memory.parameters());
  };
  CHECK_SAME(memory.compress(prepared).k_BGSD, memory.compress(cache).k_BGSD);
  const auto got = gradients_of(prepared), want = gradients_of(cache);
  for (size_t i = 0; i < want.size(); ++i) CHECK_SAME(got[i], want[i]);
}

TEST_CASE("initial kernels follow the option and the seed", "[lococo]") {
  auto config = memory_config(KeyKind::kRotated, 64);
  config.kernel_size = 21;
  auto kernel_of = [&](ConvInit init, uint64_t seed) {
    config.init = init;
    return ConvMemory(config, /*kv_heads=*/2, /*head_dim=*/16, seed)
        .named_parameters()["layers.0.weight"]
        .detach();
  };
  const auto normal_kernel = kernel_of(ConvInit::kNormal, 1);
  CHECK(normal_kernel.std().item<double>() == Approx(1.0).epsilon(0.02));
  const double fan_in = 32 * 21;
  CHECK(kernel_of(ConvInit::kFanIn, 1).std().item<double>() ==
        Approx(1 / std::sqrt(fan_in)).epsilon(0.02));
  CHECK_SAME(kernel_of(ConvInit::kNormal, 1), normal_kernel);
  CHECK_FALSE(torch::equal(kernel_of(ConvInit::kNormal, 2), normal_kernel));

  CHECK(ConvMemory(config, 2, 16, 1).normalizer().item<double>() == 0.5);
  config.init = ConvInit::kIdentity;
  CHECK(ConvMemory(config, 2, 16, 1).normalizer().item<double>() == 0.0);
}
