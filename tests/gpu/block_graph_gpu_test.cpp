// Blocks recorded as CUDA graphs and fused in bfloat16, against blocks that run one operation after
// the other.
#include <sstream>

#include "model/registry.h"
#include "pass/sequence_pass.h"
#include "tensor/kit/torch.h"
#include "tests/support/catch.h"
#include "tests/support/gpu.h"
#include "tests/support/tensors.h"
#include "tests/support/tiny_llama.h"

using namespace lococo;
using namespace lococo::testing;

namespace {

constexpr int64_t kGraphTokens = 64 * 6 + 17;  // the last block is shorter

ModelShape shape_of(int64_t kv_heads) {
  auto shape = tiny_shape();
  shape.hidden_size = 256;
  shape.intermediate_size = 384;
  shape.num_heads = 4;
  shape.num_kv_heads = kv_heads;
  shape.head_dim = 64;
  shape.num_layers = 3;
  return shape;
}

CacheConfig cache_of(CachePolicyKind policy, KeyKind keys, ScoreKind scores) {
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

/// A model with weights of ordinary size (with larger ones rounding alone changes gradients by
/// half); LoRA, embedding, norms and convolutions are trained.
struct TrainedInGraphs {
  TrainedInGraphs(const CacheConfig& cache, int64_t kv_heads, torch::Device device,
                  torch::ScalarType dtype = torch::kBFloat16)
      : model(tiny_llama(3, cache, shape_of(kv_heads))) {
    model->add_lora(/*rank=*/8, /*alpha=*/16.0, {"q_proj", "k_proj", "v_proj", "o_proj"}, 5);
    perturb(model, "lora_B", 0.01, 6);
    if (cache.normalizer_per_head) perturb(model, "normalizer", 0.1, 7);
    {
      torch::NoGradGuard no_grad;
      for (auto& item : model->named_parameters())
        if (item.key().ends_with("proj.weight") || item.key() == "lm_head.weight")
          item.value().mul_(1.0 / (item.value().std() * std::sqrt(item.value().size(1))));
    }
    model->to(device);
    model->set_compute_dtype(dtype);
    TuneConfig tune;
    tune.conv = tune.lora = tune.embed = tune.norm = 1.0;
    registry = std::make_unique<ParameterRegistry>(model, tune, 0.0, dtype);
    for (auto& parameter : registry->trainable())
      parameter.tensor.mutable_grad() = torch::zeros_like(parameter.tensor.detach());
  }

  /// Gradients by name after `sequences` sequences.
  TensorMap gradients_after(SequencePass& pass, int64_t B, int64_t sequences) {
    const auto device = model->parameters().front().device();
    for (int64_t i = 0; i < sequences; ++i)
      pass.train(model, {random_tokens(B, kGraphTokens + 1, 10 + i).to(device)});
    TensorMap gradients;
    for (auto& parameter : registry->trainable())
      gradients[parameter.name] = parameter.tensor.grad().to(torch::kCPU, torch::kFloat32);
    return gradients;
  }

  Llama model;
  std::unique_ptr<ParameterRegistry> registry;
};

struct GraphCase {
  CachePolicyKind policy;
  KeyKind keys;
  ScoreKind scores;
  int64_t kv_heads;
  bool fading = false;  ///< and a normalizer for each head, values mixed alone
};

CacheConfig cache_of(const GraphCase& c) {
  auto cache = cache_of(c.policy, c.keys, c.scores);
  if (c.fading) {
    cache.score_decay = 0.75;
    cache.score_distance = 5;
    cache.normalizer_per_head = true;
    cache.mix_keys = false;
  }
  return cache;
}

const std::vector<GraphCase>& graph_cases() {
  using P = CachePolicyKind;
  static const std::vector<GraphCase> list = {
      {P::kLococo, KeyKind::kRotated, ScoreKind::kLastBlock, 4},
      {P::kLococo, KeyKind::kRotated, ScoreKind::kLastBlock, 2},
      {P::kStreaming, KeyKind::kUnrotated, ScoreKind::kLastBlock, 4},
      {P::kLococo, KeyKind::kUnrotated, ScoreKind::kAccumulated, 2},
      {P::kLococo, KeyKind::kUnrotated, ScoreKind::kAccumulated, 2, /*fading=*/true},
      {P::kH2o, KeyKind::kRotated, ScoreKind::kAccumulated, 4},
      {P::kH2o, KeyKind::kUnrotated, ScoreKind::kLastBlock, 1},
      {P::kStreaming, KeyKind::kUnrotated, ScoreKind::kLastBlock, 2},
  };
  return list;
}

}  // namespace

TEST_CASE("a replayed block computes what a block that runs computes", "[gpu]") {
  require_cuda();
  for (const auto& c : graph_cases()) {
    INFO("policy " << static_cast<int>(c.policy) << " keys " << static_cast<int>(c.keys)
                   << " fading " << c.fading);
    const auto cache = cache_of(c);
    TrainedInGraphs replayed(cache, c.kv_heads, kGpu), run(cache, c.kv_heads, kGpu);
    const auto with = make_blockwise_pass(cache, 128, /*cuda_graphs=*/true);
    const auto without = make_blockwise_pass(cache, 128, /*cuda_graphs=*/false);
    const auto got = replayed.gradients_after(*with, /*B=*/2, /*sequences=*/3);
    const auto want = run.gradients_after(*without, /*B=*/2, /*sequences=*/3);
    for (const auto& [name, gradient] : want) {
      INFO(name);
      // A bias in front of a softmax over time has a gradient of rounding only.
      if (name.ends_with(".bias") || gradient.norm().item<double>() == 0) continue;
      // FlashAttention adds the gradients of queries up in any order.
      CHECK(relative_error(got.at(name), gradient) < 0.02);
    }
    const auto tokens = random_tokens(2, kGraphTokens + 1, 20).to(kGpu);
    for (int i = 0; i < 3; ++i)
      CHECK_SAME(with->evaluate(run.model, tokens), without->evaluate(run.model, tokens));
  }
}

TEST_CASE("a replayed block convolves with the weights of its own sequence", "[gpu]") {
  require_cuda();
  const auto cache =
      cache_of(CachePolicyKind::kLococo, KeyKind::kUnrotated, ScoreKind::kAccumulated);
  TrainedInGraphs trained(cache, 2, kGpu);
  const auto tokens = random_tokens(2, kGraphTokens + 1, 30).to(kGpu);
  auto update_convolutions = [&] {
    torch::NoGradGuard no_grad;
    for (auto& item : trained.model->named_parameters())
      if (item.key().ends_with("layers.0.weight")) item.value().mul_(-1.5);
  };
  const auto replayed = make_blockwise_pass(cache, 128, /*cuda_graphs=*/true);
  torch::Tensor last_nll, last_loss;
  for (int i = 0; i < 5; ++i) {
    INFO("sequence " << i);
    // Its buffers are new, so nothing that was made of older weights is in them.
    const auto fresh = make_blockwise_pass(cache, 128, /*cuda_graphs=*/false);
    const auto loss = replayed->train(trained.model, {tokens}).loss_sum;
    CHECK_SAME(loss, fresh->train(trained.model, {tokens}).loss_sum);
    const auto nll = replayed->evaluate(trained.model, tokens);
    CHECK_SAME(nll, fresh->evaluate(trained.model, tokens));
    if (i > 0) CHECK_FALSE(torch::equal(nll, last_nll));
    if (i > 0) CHECK_FALSE(torch::equal(loss, last_loss));
    last_nll = nll;
    last_loss = loss;
    update_convolutions();
  }
}

TEST_CASE("the fused blocks in bfloat16 are as close to float32 as plain operations are", "[gpu]") {
  require_cuda();
  for (const auto& c : graph_cases()) {
    INFO("policy " << static_cast<int>(c.policy) << " keys " << static_cast<int>(c.keys)
                   << " fading " << c.fading);
    const auto cache = cache_of(c);
    TrainedInGraphs exact(cache, c.kv_heads, torch::kCPU, torch::kFloat32);
    const auto want = exact.gradients_after(*make_blockwise_pass(cache, 128), 2, 1);
    std::ostringstream parts;  // relative error of each parameter's gradient
    auto error_of = [&](torch::Device device) {
      TrainedInGraphs rounded(cache, c.kv_heads, device);
      const auto got = rounded.gradients_after(*make_blockwise_pass(cache, 128), 2, 1);
      double difference = 0.0, size = 0.0;
      parts << "\n" << device << ":";
      for (const auto& [name, gradient] : want) {
        parts << "\n  " << name << " " << relative_error(got.at(name), gradient) << " of norm "
              << gradient.norm().item<double>();
        difference += (got.at(name) - gradient).square().sum().item<double>();
        size += gradient.square().sum().item<double>();
      }
      return std::sqrt(difference / size);
    };
    // Where a score lies at the edge of what is kept, rounding decides: both errors have that part.
    const double plain = error_of(torch::kCPU), fused = error_of(kGpu);
    INFO(c.kv_heads << " key-value heads" << parts.str());
    CHECK(plain < 0.5);
    CHECK(fused < 1.5 * plain + 0.02);
  }
}

TEST_CASE("a row of a batch on a GPU does not see the others, nor what comes after its end",
          "[gpu]") {
  require_cuda();
  const auto cache =
      cache_of(CachePolicyKind::kLococo, KeyKind::kUnrotated, ScoreKind::kAccumulated);
  TrainedInGraphs trained(cache, 2, kGpu);
  const auto pass = make_blockwise_pass(cache, 128);
  const auto tokens = random_tokens(3, kGraphTokens + 1, 1).to(kGpu);
  const auto together = pass->evaluate(trained.model, tokens);
  for (int64_t b = 0; b < 3; ++b) {
    const auto alone = pass->evaluate(trained.model, tokens.narrow(0, b, 1));
    // Products of other sizes add up in another order, and a slot may be chosen the other way.
    CHECK((together[b] - alone[0]).abs().mean().item<double>() < 0.02);
  }
  // Rows that end early are padded with anything.
  const int64_t end = 64 * 3 + 5;
  auto padded = tokens.clone();
  padded.narrow(1, end + 1, kGraphTokens - end).fill_(1);
  const auto short_rows = pass->evaluate(trained.model, padded);
  CHECK_SAME(short_rows.narrow(1, 0, end), together.narrow(1, 0, end));
}

TEST_CASE("a recomputed layer on a GPU has the gradients of one that kept everything", "[gpu]") {
  require_cuda();
  for (const int64_t kv_heads : {4, 2}) {
    TrainedInGraphs kept({}, kv_heads, kGpu), recomputed({}, kv_heads, kGpu);
    const auto keep = make_full_sequence_pass(128, false),
               again = make_full_sequence_pass(128, true);
    const auto want = kept.gradients_after(*keep, 2, 1),
               got = recomputed.gradients_after(*again, 2, 1);
    for (const auto& [name, gradient] : want) {
      INFO(name);
      CHECK(relative_error(got.at(name), gradient) < 0.02);
    }
  }
}
