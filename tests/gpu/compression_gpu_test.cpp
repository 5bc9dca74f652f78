// The kernels that compress a cache against the reference, which runs on float32 copies.
#ifdef LOCOCO_WITH_CUDA
#include <ATen/cuda/CUDAGraph.h>
#include <c10/cuda/CUDAGuard.h>
#endif

#include <sstream>

#include "lococo/compression.h"
#include "lococo/conv_memory.h"
#include "lococo/selection.h"
#include "tensor/time_conv.h"
#include "tensor/torch.h"
#include "tests/support/catch.h"
#include "tests/support/gpu.h"
#include "tests/support/gradcheck.h"
#include "tests/support/policies.h"
#include "tests/support/tensors.h"

using namespace lococo;
using namespace lococo::testing;

namespace {

const torch::Device kGpu(torch::kCUDA, 0);

struct Case {
  int64_t B, G, S, D, slots;
  double keep_fraction;
  int64_t sinks, local, kernel_size;
};

const std::vector<Case>& cases() {
  static const std::vector<Case> list = {
      {2, 3, 101, 64, 64, 0.5, 0, 0, 3},       {1, 8, 1024, 128, 512, 0.5, 0, 0, 21},
      {3, 2, 131, 128, 64, 0.75, 2, 5, 21},    {1, 4, 1041, 32, 512, 0.25, 4, 64, 21},
      {2, 1, 600, 64, 512, 0.0, 0, 0, 5},      {1, 2, 4608, 32, 4096, 0.5, 4, 256, 9},
      {1, 3, 4625, 64, 4096, 0.875, 0, 7, 21}, {1, 1, 105, 8, 100, 0.52, 3, 49, 1}};
  return list;
}

std::string text(const Case& c) {
  std::ostringstream out;
  out << "B=" << c.B << " G=" << c.G << " S=" << c.S << " D=" << c.D << " slots=" << c.slots
      << " keep_fraction=" << c.keep_fraction << " sinks=" << c.sinks << " local=" << c.local;
  return out.str();
}

CacheConfig config_of(const Case& c, CachePolicyKind policy, KeyKind keys) {
  CacheConfig config;
  config.policy = policy;
  config.slots = c.slots;
  config.keep_fraction = c.keep_fraction;
  config.sinks = c.sinks;
  config.local = c.local;
  config.kernel_size = c.kernel_size;
  config.keys = keys;
  config.init = ConvInit::kFanIn;
  config.score_decay = 0.75;
  return config;
}

/// Masses without two equal ones in a row.
torch::Tensor distinct_masses(int64_t B, int64_t G, int64_t S, uint64_t seed) {
  const auto ranks = normal({B, G, S}, seed).argsort(int64_t{-1});
  return (ranks.to(torch::kFloat32) + 1) * 0.125;
}

CacheState random_cache(const Case& c, uint64_t seed) {
  const std::vector<int64_t> sizes = {c.B, c.G, c.S, c.D};
  return {normal(sizes, seed, torch::kBFloat16).to(kGpu),
          normal(sizes, seed + 1, torch::kBFloat16).to(kGpu),
          distinct_masses(c.B, c.G, c.S, seed + 2).to(kGpu)};
}

CacheState widened(const CacheState& cache) {
  return {cache.k_BGSD.to(torch::kFloat32), cache.v_BGSD.to(torch::kFloat32), cache.mass_BGS};
}

/// A memory whose softmax prefers some tokens clearly, with weights that bfloat16 can hold.
std::shared_ptr<ConvMemory> make_memory(const CacheConfig& config, const Case& c) {
  auto memory = std::make_shared<ConvMemory>(config, c.G, c.D, /*init_seed=*/1);
  const torch::NoGradGuard no_grad;
  for (auto& parameter : memory->parameters())
    parameter.copy_((parameter.dim() == 3 ? 2.0 * parameter : parameter).to(torch::kBFloat16));
  memory->normalizer.copy_(0.75 - 0.125 * torch::arange(memory->normalizer.size(0)));
  memory->to(kGpu);
  return memory;
}

void check_close(const CacheState& got, const CacheState& want) {
  CHECK_CLOSE(got.k_BGSD, want.k_BGSD);
  CHECK_CLOSE(got.v_BGSD, want.v_BGSD);
  // The kernel mixes masses by weights in bfloat16.
  CHECK_CLOSE(got.mass_BGS.to(torch::kBFloat16), want.mass_BGS);
}

void check_same(const CacheState& got, const CacheState& want) {
  CHECK_SAME(got.k_BGSD, want.k_BGSD);
  CHECK_SAME(got.v_BGSD, want.v_BGSD);
  REQUIRE(got.mass_BGS.defined() == want.mass_BGS.defined());
  if (got.mass_BGS.defined()) CHECK_SAME(got.mass_BGS, want.mass_BGS);
}

/// Gradients of weight, bias and normalizer for a loss of the compressed cache.
template <typename Loss>
std::vector<torch::Tensor> gradients_of(ConvMemory& memory, const CacheState& cache,
                                        const Loss& loss) {
  return torch::autograd::grad({loss(memory.compress(cache))}, memory.parameters());
}

torch::Tensor loss_of_both(const CacheState& result) {
  return weighted_sum(result.k_BGSD.to(torch::kFloat32), 1) +
         weighted_sum(result.v_BGSD.to(torch::kFloat32), 2);
}

void check_gradients(const std::vector<torch::Tensor>& got,
                     const std::vector<torch::Tensor>& want) {
  REQUIRE(got.size() == want.size());
  for (size_t i = 0; i < got.size(); ++i) {
    INFO("gradient " << i << " of " << want[i].sizes());
    const double scale = want[i].abs().max().item<double>();
    CHECK(got[i].scalar_type() == torch::kFloat32);
    // Products of bfloat16 numbers, against the largest of them.
    CHECK_CLOSE((got[i] / scale).to(torch::kBFloat16), want[i] / scale);
  }
}

/// Whether the project's kernels convolve such a cache.
bool has_fused_conv(const CacheConfig& config, const CacheState& cache) {
  const auto x_XSC = torch::cat({cache.k_BGSD, cache.v_BGSD}, -1).flatten(0, 1);
  return time_conv_is_fused(x_XSC, config.mixed_slots(), config.kernel_size);
}

void check_same_gradients(const std::vector<torch::Tensor>& got,
                          const std::vector<torch::Tensor>& want) {
  REQUIRE(got.size() == want.size());
  for (size_t i = 0; i < got.size(); ++i) CHECK_SAME(got[i], want[i]);
}

}  // namespace

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
    for (const auto keys : {KeyKind::kRotated, KeyKind::kUnrotated}) {
      INFO(text(c) << (keys == KeyKind::kRotated ? " rotated" : " unrotated"));
      auto config = config_of(c, CachePolicyKind::kLococo, keys);
      config.normalizer_per_head = keys == KeyKind::kUnrotated;
      const auto memory = make_memory(config, c);
      const auto cache = random_cache(c, 7);
      REQUIRE(use_fused_compression(cache, config));
      REQUIRE_FALSE(use_fused_compression(widened(cache), config));
      const auto result = memory->compress(cache);
      CHECK(result.k_BGSD.requires_grad());
      CHECK_FALSE(result.mass_BGS.requires_grad());
      check_close(result, memory->compress(widened(cache)));
      check_gradients(gradients_of(*memory, cache, loss_of_both),
                      gradients_of(*memory, widened(cache), loss_of_both));
    }
  }
}

TEST_CASE("a prepared cache has the bits of one that is not, gradients included", "[gpu]") {
  require_cuda();
  for (const auto& c : cases()) {
    INFO(text(c));
    const auto config = config_of(c, CachePolicyKind::kLococo, KeyKind::kUnrotated);
    const auto memory = make_memory(config, c);
    const auto plain = at_home(random_cache(c, 16), c.S + 16);
    auto prepared = plain;
    prepared.use_home(0);  // as it is before a sequence
    memory->prepare(prepared);
    prepared.use_home(c.S);
    REQUIRE(prepared.prepared_KOC.defined() == has_fused_conv(config, plain));
    if (!prepared.prepared_KOC.defined()) continue;
    auto check = [&] {
      check_same(memory->compress(prepared), memory->compress(plain));
      check_same_gradients(gradients_of(*memory, prepared, loss_of_both),
                           gradients_of(*memory, plain, loss_of_both));
    };
    check();
    {
      torch::NoGradGuard no_grad;
      for (auto& parameter : memory->parameters()) parameter.mul_(-0.75);
    }
    memory->prepare(prepared);
    check();
  }
}

TEST_CASE("only a cache that the kernels will compress is prepared", "[gpu]") {
  require_cuda();
  const Case c = {1, 2, 131, 64, 64, 0.5, 1, 2, 5};
  auto config = config_of(c, CachePolicyKind::kLococo, KeyKind::kUnrotated);
  auto is_prepared = [&](const CacheConfig& settings, CacheState state) {
    const auto memory = make_cache_policy(settings, c.G, c.D, /*init_seed=*/1);
    memory->to(kGpu);
    memory->prepare(state);
    return state.prepared_KOC.defined();
  };
  const auto cache = random_cache(c, 17), homed = at_home(cache, c.S + 16);
  CHECK(is_prepared(config, homed) == has_fused_conv(config, cache));
  CHECK_FALSE(is_prepared(config, cache));  // no home
  CHECK_FALSE(is_prepared(config, at_home(widened(cache), c.S)));
  auto small = homed;
  small.k_home_BGCD = small.k_home_BGCD.narrow(2, 0, c.slots);
  CHECK_FALSE(is_prepared(config, small));
  for (const auto policy : {CachePolicyKind::kStreaming, CachePolicyKind::kH2o})
    CHECK_FALSE(is_prepared(config_of(c, policy, KeyKind::kUnrotated), homed));
  config.conv_layers = 2;
  CHECK_FALSE(is_prepared(config, homed));
  config.conv_layers = 1;
  config.mass_channel = true;
  CHECK_FALSE(is_prepared(config, homed));
  config.mass_channel = false;
  config.keep_fraction = 1.0;  // nothing is mixed
  CHECK_FALSE(is_prepared(config, homed));
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
      const auto memory = make_cache_policy(config, c.G, c.D, /*init_seed=*/1);
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
  memory->normalizer.fill_(0.0);
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
    const auto memory = make_cache_policy(config, c.G, c.D, /*init_seed=*/1);
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

#ifdef LOCOCO_WITH_CUDA
TEST_CASE("a captured compression follows the cache's contents", "[gpu]") {
  require_cuda();
  const torch::NoGradGuard no_grad;
  const Case c = {2, 4, 1024, 64, 512, 0.5, 4, 64, 21};
  for (const auto policy :
       {CachePolicyKind::kStreaming, CachePolicyKind::kH2o, CachePolicyKind::kLococo}) {
    INFO("policy " << static_cast<int>(policy));
    const auto config = config_of(c, policy, KeyKind::kUnrotated);
    const auto memory = make_cache_policy(config, c.G, c.D, /*init_seed=*/1);
    memory->to(kGpu);
    const auto cache = random_cache(c, 14), other = random_cache(c, 15);
    CacheState result;
    at::cuda::CUDAGraph graph;
    {
      torch::cuda::synchronize();
      const c10::cuda::CUDAStreamGuard on_stream(c10::cuda::getStreamFromPool());
      memory->compress(cache);  // libraries choose their kernels before a capture
      torch::cuda::synchronize();
      graph.capture_begin({0, 0}, cudaStreamCaptureModeThreadLocal);
      result = memory->compress(cache);
      graph.capture_end();
    }
    cache.k_BGSD.copy_(other.k_BGSD);
    cache.v_BGSD.copy_(other.v_BGSD);
    cache.mass_BGS.copy_(other.mass_BGS);
    graph.replay();
    torch::cuda::synchronize();
    const auto want = memory->compress(other);
    CHECK_CLOSE(result.k_BGSD, want.k_BGSD);
    CHECK_CLOSE(result.v_BGSD, want.v_BGSD);
    if (memory->needs_mass()) CHECK_CLOSE(result.mass_BGS, want.mass_BGS, /*factor=*/10.0);
  }
}

TEST_CASE("a captured compression reads the weights that were prepared last", "[gpu]") {
  require_cuda();
  const torch::NoGradGuard no_grad;
  const Case c = {2, 4, 1024, 64, 512, 0.5, 4, 64, 21};
  const auto config = config_of(c, CachePolicyKind::kLococo, KeyKind::kUnrotated);
  const auto memory = make_memory(config, c);
  auto cache = at_home(random_cache(c, 18), c.S + 16);
  memory->prepare(cache);
  CacheState result;
  at::cuda::CUDAGraph graph;
  {
    torch::cuda::synchronize();
    const c10::cuda::CUDAStreamGuard on_stream(c10::cuda::getStreamFromPool());
    memory->compress(cache);  // libraries choose their kernels before a capture
    torch::cuda::synchronize();
    graph.capture_begin({0, 0}, cudaStreamCaptureModeThreadLocal);
    result = memory->compress(cache);
    graph.capture_end();
  }
  auto plain = cache;
  plain.prepared_KOC = torch::Tensor();
  for (int i = 0; i < 3; ++i) {
    const auto before = memory->compress(plain);
    memory->named_parameters()["layers.0.weight"].mul_(-1.0);
    memory->prepare(cache);
    graph.replay();
    torch::cuda::synchronize();
    const auto want = memory->compress(plain);
    CHECK_CLOSE(result.k_BGSD, want.k_BGSD);
    CHECK_CLOSE(result.v_BGSD, want.v_BGSD);
    CHECK(difference(result.v_BGSD, before.v_BGSD) != "");
  }
}
#endif
