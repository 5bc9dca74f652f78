// Training and evaluation on a GPU against the CPU, and the bound on memory.
#include <c10/core/CachingDeviceAllocator.h>

#include "model/registry.h"
#include "pass/sequence_pass.h"
#include "tensor/kit/torch.h"
#include "tests/support/catch.h"
#include "tests/support/gpu.h"
#include "tests/support/policies.h"
#include "tests/support/tensors.h"
#include "tests/support/tiny_llama.h"

using namespace lococo;
using namespace lococo::testing;

namespace {

/// The same weights on a CPU in float32 and on the GPU in `dtype`.
struct Pair {
  Pair(const CacheConfig& cache, torch::ScalarType dtype)
      : cpu(tiny_llama(3, cache, kernel_shape())), gpu(tiny_llama(3, cache, kernel_shape())) {
    gpu->to(kGpu);
    gpu->set_compute_dtype(dtype);
    if (dtype != torch::kFloat32) ParameterRegistry frozen(gpu, TuneConfig{}, 0.0, dtype);
  }
  Llama cpu, gpu;
};

}  // namespace

TEST_CASE("every policy scores in float32 on a GPU as on a CPU", "[gpu]") {
  require_cuda();
  const auto tokens = distinct_tokens(2, 40, 1);
  for (const auto& policy_case : all_policies()) {
    INFO(policy_case.name);
    Pair models(policy_case.cache, torch::kFloat32);
    const auto pass = make_blockwise_pass(policy_case.cache, /*loss_chunk=*/16);
    // Two layers and a head widen the rounding differences of other summation orders.
    CHECK_CLOSE(pass->evaluate(models.gpu, tokens.to(kGpu)), pass->evaluate(models.cpu, tokens),
                /*factor=*/50.0);
  }
}

TEST_CASE("the gradients of the blockwise pass on a GPU are those of the CPU", "[gpu]") {
  require_cuda();
  const auto keys = GENERATE(KeyKind::kRotated, KeyKind::kUnrotated);
  for (const bool mass_channel : {false, true}) {
    INFO("keys " << static_cast<int>(keys) << " mass_channel " << mass_channel);
    auto cache = tiny_cache();
    cache.keys = keys;
    cache.mass_channel = mass_channel;
    Pair models(cache, torch::kFloat32);
    const ParameterRegistry on_cpu(models.cpu, tune_all_parts(), 0.0, torch::kFloat32);
    const ParameterRegistry on_gpu(models.gpu, tune_all_parts(), 0.0, torch::kFloat32);
    const auto pass = make_blockwise_pass(cache, /*loss_chunk=*/16);
    const auto tokens = random_tokens(2, 40, 1);
    pass->train(models.cpu, {tokens});
    pass->train(models.gpu, {tokens.to(kGpu)});
    double scale = 0.0;
    for (size_t i = 0; i < on_cpu.all().size(); ++i) {
      INFO(on_cpu.all()[i].name);
      const auto want = on_cpu.all()[i].tensor.grad();
      // The softmax over time takes no notice of a bias as long as ReLU cuts nothing, so what is
      // left of its gradient is rounding: it is measured against that of its kernel, just before.
      if (!on_cpu.all()[i].name.ends_with(".bias")) scale = want.abs().max().item<double>();
      CHECK_CLOSE(on_gpu.all()[i].tensor.grad() / scale, want / scale, /*factor=*/50.0);
    }
  }
}

TEST_CASE("blocks in bfloat16 on a GPU score near float32 on a CPU", "[gpu]") {
  require_cuda();
  const auto tokens = random_tokens(4, 513, 1);
  for (const auto policy :
       {CachePolicyKind::kStreaming, CachePolicyKind::kH2o, CachePolicyKind::kLococo}) {
    INFO("policy " << static_cast<int>(policy));
    auto cache = tiny_cache();
    cache.policy = policy;
    cache.slots = cache.block = 64;
    // Kernels of the official size make the softmax over time nearly a choice of one token, which
    // rounding then turns into another.
    cache.init = ConvInit::kFanIn;
    Pair models(cache, torch::kBFloat16);
    const auto pass = make_blockwise_pass(cache, /*loss_chunk=*/256);
    const auto got = pass->evaluate(models.gpu, tokens.to(kGpu)).cpu();
    const auto error = got - pass->evaluate(models.cpu, tokens);
    CHECK(std::abs(error.mean().item<double>()) < 0.01);
    CHECK(error.abs().mean().item<double>() < 0.05);
  }
}

TEST_CASE("the peak memory of the blockwise pass is the same at 8 and at 64 blocks", "[gpu]") {
  require_cuda();
  CacheConfig cache = tiny_cache();
  cache.slots = cache.block = 64;
  auto shape = kernel_shape();
  shape.num_layers = 4;
  auto peak_above_static = [&](int64_t blocks) {
    auto model = tiny_llama(3, cache, shape);
    model->to(kGpu);
    model->set_compute_dtype(torch::kBFloat16);
    TuneConfig tune;
    tune.conv = 1.0;
    const ParameterRegistry registry(model, tune, 0.0, torch::kBFloat16);
    const auto tokens = random_tokens(2, blocks * cache.block + 1, 1).to(kGpu);
    // The allocator does not count what a replay uses.
    const auto pass = make_blockwise_pass(cache, /*loss_chunk=*/64, /*cuda_graphs=*/false);
    pass->train(model, {tokens});  // gradients and workspaces exist from here on
    auto* allocator = at::getDeviceAllocator(kGpu.type());
    allocator->resetPeakStats(kGpu.index());
    pass->train(model, {tokens});
    constexpr auto kAll = static_cast<size_t>(c10::CachingAllocator::StatType::AGGREGATE);
    const auto bytes = allocator->getDeviceStats(kGpu.index()).allocated_bytes[kAll];
    return static_cast<double>(bytes.peak - bytes.current);  // above weights, gradients, tokens
  };
  const double at_8 = peak_above_static(8), at_64 = peak_above_static(64);
  CHECK(at_8 > 0);
  CHECK(at_64 <= 1.05 * at_8);
}
