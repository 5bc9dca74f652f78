// Compressions whose weights were packed before (CachePolicy::prepare), and recorded ones.
#ifdef LOCOCO_WITH_CUDA
#include <ATen/cuda/CUDAGraph.h>
#include <c10/cuda/CUDAGuard.h>
#endif

#include "tests/gpu/compression_cases.h"
#include "tests/support/gpu.h"
#include "tests/support/policies.h"

using namespace lococo;
using namespace lococo::testing;

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
    const auto memory =
        make_cache_policy(settings, {/*hidden_size=*/64, c.G, c.D}, /*init_seed=*/1);
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

#ifdef LOCOCO_WITH_CUDA
namespace {

/// What a replay of `graph` will have compressed the cache's then contents to.
CacheState record_compression(at::cuda::CUDAGraph& graph, CachePolicy& memory,
                              const CacheState& cache) {
  torch::cuda::synchronize();
  const c10::cuda::CUDAStreamGuard on_stream(c10::cuda::getStreamFromPool());
  memory.compress(cache);  // libraries choose their kernels before a capture
  torch::cuda::synchronize();
  graph.capture_begin({0, 0}, cudaStreamCaptureModeThreadLocal);
  const auto result = memory.compress(cache);
  graph.capture_end();
  return result;
}

}  // namespace

TEST_CASE("a captured compression follows the cache's contents", "[gpu]") {
  require_cuda();
  const torch::NoGradGuard no_grad;
  const Case c = {2, 4, 1024, 64, 512, 0.5, 4, 64, 21};
  for (const auto policy :
       {CachePolicyKind::kStreaming, CachePolicyKind::kH2o, CachePolicyKind::kLococo}) {
    INFO("policy " << static_cast<int>(policy));
    const auto config = config_of(c, policy, KeyKind::kUnrotated);
    const auto memory = make_cache_policy(config, {/*hidden_size=*/64, c.G, c.D}, /*init_seed=*/1);
    memory->to(kGpu);
    const auto cache = random_cache(c, 14), other = random_cache(c, 15);
    at::cuda::CUDAGraph graph;
    const auto result = record_compression(graph, *memory, cache);
    cache.k_BGSD.copy_(other.k_BGSD);
    cache.v_BGSD.copy_(other.v_BGSD);
    cache.mass_BGS.copy_(other.mass_BGS);
    graph.replay();
    torch::cuda::synchronize();
    const auto want = memory->compress(other);
    CHECK_CLOSE(result.k_BGSD, want.k_BGSD);
    CHECK_CLOSE(result.v_BGSD, want.v_BGSD);
    if (memory->needs().mass) CHECK_CLOSE(result.mass_BGS, want.mass_BGS, /*factor=*/10.0);
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
  at::cuda::CUDAGraph graph;
  const auto result = record_compression(graph, *memory, cache);
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
