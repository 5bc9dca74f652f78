// The stages of a pipeline on one GPU, with blocks in flight: forward of the next blocks comes
// before backward of a block, recorded as CUDA graphs or not.
#include <cmath>

#include "pass/sequence_pass.h"
#include "tensor/kit/memory_stats.h"
#include "tensor/kit/torch.h"
#include "tests/support/catch.h"
#include "tests/support/gpu.h"
#include "tests/support/stage_chain.h"
#include "tests/support/tensors.h"
#include "tests/support/tiny_llama.h"

using namespace lococo;
using namespace lococo::testing;

namespace {

constexpr int64_t kLossRows = 128;
constexpr int64_t kStageTokens = 64 * 9 + 17;  // the last block is shorter
constexpr int64_t kRank = 8;

ModelShape shape_of_test() {
  auto shape = tiny_shape();
  shape.hidden_size = 256;
  shape.intermediate_size = 384;
  shape.num_heads = 4;
  shape.num_kv_heads = 2;
  shape.head_dim = 64;
  shape.num_layers = 4;
  return shape;
}

CacheConfig stage_cache(CachePolicyKind policy, KeyKind keys, ScoreKind scores) {
  auto cache = tiny_cache();
  cache.policy = policy;
  cache.keys = keys;
  cache.scores = scores;
  cache.slots = cache.block = 64;
  cache.sinks = 2;
  cache.local = 8;
  cache.kernel_size = 5;
  cache.init = ConvInit::kFanIn;
  return cache;
}

std::vector<CacheConfig> caches() {
  using P = CachePolicyKind;
  return {stage_cache(P::kLococo, KeyKind::kRotated, ScoreKind::kLastBlock),
          stage_cache(P::kLococo, KeyKind::kUnrotated, ScoreKind::kAccumulated),
          stage_cache(P::kH2o, KeyKind::kUnrotated, ScoreKind::kAccumulated),
          stage_cache(P::kStreaming, KeyKind::kUnrotated, ScoreKind::kLastBlock)};
}

/// A model with weights of ordinary size and LoRA that does something.
Llama model_of(const CacheConfig& cache) {
  auto model = tiny_llama(3, cache, shape_of_test());
  model->add_lora(kRank, 16.0, {"q_proj", "k_proj", "v_proj", "o_proj"}, 5);
  perturb(model, "lora_B", 0.01, 6);
  torch::NoGradGuard no_grad;
  for (auto& item : model->named_parameters())
    if (item.key().ends_with("proj.weight") || item.key() == "lm_head.weight")
      item.value().mul_(
          1.0 / (item.value().std() * std::sqrt(static_cast<double>(item.value().size(1)))));
  model->to(kGpu);
  model->set_compute_dtype(torch::kBFloat16);
  return model;
}

TuneConfig tune_of(const CacheConfig& cache) {
  TuneConfig tune;
  tune.lora = tune.embed = tune.norm = 1.0;
  if (cache.has_convs()) tune.conv = 1.0;
  return tune;
}

void check_close(const TensorMap& got, const TensorMap& want) {
  REQUIRE(got.size() == want.size());
  for (const auto& [name, gradient] : want) {
    INFO(name);
    // A bias in front of a softmax over time has a gradient of rounding only.
    if (name.ends_with(".bias") || gradient.norm().item<double>() == 0) continue;
    // FlashAttention adds the gradients of queries up in any order.
    CHECK(relative_error(got.at(name), gradient) < 0.02);
  }
}

}  // namespace

TEST_CASE("recorded stages with blocks in flight compute what stages that run compute", "[gpu]") {
  require_cuda();
  for (const CacheConfig& cache : caches()) {
    INFO("policy " << static_cast<int>(cache.policy) << " keys " << static_cast<int>(cache.keys));
    auto model = model_of(cache);
    for (const auto& layers : std::vector<std::vector<int64_t>>{{2, 2}, {1, 1, 1, 1}, {4}}) {
      INFO(layers.size() << " stages");
      StageChain recorded(model, layers, tune_of(cache), {cache, kLossRows, true, true}, kRank);
      StageChain run(model, layers, tune_of(cache), {cache, kLossRows, true, false}, kRank);
      // The first sequences have blocks that run beside blocks that are recorded and replayed.
      for (int i = 0; i < 4; ++i) {
        INFO("sequence " << i);
        const Batch batch = {random_tokens(2, kStageTokens + 1, 10 + i).to(kGpu)};
        CHECK(relative_error(recorded.train(batch), run.train(batch)) < 1e-4);
        check_close(recorded.gradients(), run.gradients());
      }
    }
  }
}

TEST_CASE("stages on a GPU have the gradients of the whole model", "[gpu]") {
  require_cuda();
  for (const CacheConfig& cache : caches()) {
    INFO("policy " << static_cast<int>(cache.policy) << " keys " << static_cast<int>(cache.keys));
    auto model = model_of(cache);
    const auto tune = tune_of(cache);
    StageChain chain(model, {2, 2}, tune, {cache, kLossRows, true, true}, kRank);
    const ParameterRegistry registry(model, tune, 0.0, torch::kBFloat16);
    for (auto& parameter : registry.trainable())
      parameter.tensor.mutable_grad() = torch::zeros_like(parameter.tensor.detach());
    const auto pass = make_blockwise_pass(cache, kLossRows, /*cuda_graphs=*/true);
    for (int i = 0; i < 3; ++i) {
      const Batch batch = {random_tokens(2, kStageTokens + 1, 10 + i).to(kGpu)};
      CHECK(relative_error(chain.train(batch), pass->train(model, batch).loss_sum) < 1e-3);
    }
    // A sum is rounded to bfloat16 between the stages that one kernel keeps in float32; where a
    // score lies at the edge of what is kept, rounding decides.
    double difference = 0.0, size = 0.0;
    const auto got = chain.gradients();
    for (const auto& parameter : registry.trainable()) {
      const auto gradient = parameter.tensor.grad().cpu();
      difference += (got.at(parameter.name) - gradient).square().sum().item<double>();
      size += gradient.square().sum().item<double>();
    }
    CHECK(std::sqrt(difference / size) < 0.3);
  }
}

TEST_CASE("stages that score are recorded too", "[gpu]") {
  require_cuda();
  for (const CacheConfig& cache : caches()) {
    auto model = model_of(cache);
    StageChain recorded(model, {2, 2}, TuneConfig(), {cache, kLossRows, false, true}, kRank);
    StageChain run(model, {2, 2}, TuneConfig(), {cache, kLossRows, false, false}, kRank);
    for (int i = 0; i < 3; ++i) {
      const auto tokens = random_tokens(2, kStageTokens + 1, 20 + i).to(kGpu);
      CHECK_SAME(recorded.evaluate(tokens), run.evaluate(tokens));
    }
  }
}

TEST_CASE("the memory of recorded stages is counted with all blocks in flight", "[gpu]") {
  require_cuda();
  const auto cache = caches().front();
  auto model = model_of(cache);
  const Batch batch = {random_tokens(2, kStageTokens + 1, 10).to(kGpu)};
  const auto peak_of = [&](bool cuda_graphs) {
    StageChain chain(model, {2, 2}, tune_of(cache), {cache, kLossRows, true, cuda_graphs}, kRank);
    for (int i = 0; i < 3; ++i) chain.train(batch);
    reset_peak(kGpu);
    chain.train(batch);
    return peak_memory_bytes(kGpu);
  };
  const auto run = static_cast<double>(peak_of(false)),
             recorded = static_cast<double>(peak_of(true));
  CHECK(recorded > 0.5 * run);
  CHECK(recorded < 2.0 * run);
}
