// A window over several blocks: its gradients against differences of its loss.
#include <algorithm>
#include <cmath>
#include <sstream>

#include "pass/bptt_windows.h"
#include "pass/loss.h"
#include "tensor/kit/torch.h"
#include "tests/pass/train_once.h"
#include "tests/support/catch.h"
#include "tests/support/tensors.h"
#include "tests/support/tiny_llama.h"

using namespace lococo;
using namespace lococo::testing;

namespace {

ModelShape small_shape(int64_t layers = 2) {
  auto shape = tiny_shape();
  shape.hidden_size = 8;
  shape.intermediate_size = 6;
  shape.num_layers = layers;
  shape.num_heads = 4;
  shape.num_kv_heads = 2;
  shape.head_dim = 4;
  shape.rope_scaling = {};
  return shape;
}

/// Blocks of 6 on 6 slots: every block from the third on compresses 12 slots.
CacheConfig small_cache(CachePolicyKind policy) {
  auto cache = tiny_cache();
  cache.policy = policy;
  cache.slots = cache.block = 6;
  cache.boundary_targets = cache.first_block_gradient = true;
  return cache;
}

Llama double_llama(const CacheConfig& cache, const ModelShape& shape = small_shape()) {
  auto model = tiny_llama(3, cache, shape);
  perturb(model, "proj.weight", 0.4, 5);  // scores far apart: a small step changes no choice
  perturb(model, "embed_tokens", 0.5, 6);
  model->to(torch::kFloat64);
  model->set_compute_dtype(torch::kFloat64);
  for (auto& parameter : model->parameters()) parameter.requires_grad_(false);
  return model;
}

std::vector<std::pair<std::string, torch::Tensor>> parameters_with(
    Llama& model, const std::vector<std::string>& parts) {
  std::vector<std::pair<std::string, torch::Tensor>> found;
  for (auto& item : model->named_parameters()) {
    const auto is_in = [&](const std::string& part) {
      return item.key().find(part) != std::string::npos;
    };
    if (std::any_of(parts.begin(), parts.end(), is_in))
      found.emplace_back(item.key(), item.value());
  }
  return found;
}

/// (fn(x + e u) - fn(x - e u)) / 2e for a direction u.
double slope(torch::Tensor x, const torch::Tensor& direction, const std::function<double()>& fn) {
  constexpr double kStep = 1e-6;
  const auto values = x.detach().clone();
  const auto at = [&](double step) {
    {
      const torch::NoGradGuard no_grad;
      x.copy_(values + step * direction);
    }
    return fn();
  };
  const double above = at(kStep), below = at(-kStep);
  const torch::NoGradGuard no_grad;
  x.copy_(values);
  return (above - below) / (2 * kStep);
}

/// Whether the gradients that a pass leaves are the slopes of the loss sum that it returns, along
/// random directions; "" if so.
std::string pass_gradient_error(Llama& model, const CacheConfig& cache,
                                const torch::Tensor& tokens_BT,
                                const std::vector<std::string>& parts) {
  auto parameters = parameters_with(model, parts);
  for (auto& item : parameters) item.second.requires_grad_(true);
  train_in_windows(model, {tokens_BT}, cache, kLossChunk);
  for (auto& item : parameters) item.second.requires_grad_(false);
  const auto loss = [&] {
    return train_in_windows(model, {tokens_BT}, cache, kLossChunk).loss_sum.item<double>();
  };
  std::ostringstream text;
  for (auto& [name, parameter] : parameters) {
    const auto& gradient = parameter.grad();
    if (!gradient.defined() || gradient.abs().max().item<double>() < 1e-6)
      return "no gradient reaches " + name;
    for (const uint64_t seed : {11, 12}) {
      const auto direction = normal(parameter.sizes(), seed, torch::kFloat64);
      const double got = (gradient * direction).sum().item<double>();
      const double want = slope(parameter, direction, loss);
      if (std::abs(got - want) <= 1e-6 + 1e-6 * std::abs(want)) continue;
      text << name << ": gradient " << got << ", differences " << want;
      return text.str();
    }
  }
  return "";
}

}  // namespace

TEST_CASE("in a window over the whole sequence gradients agree with differences of its loss",
          "[pass]") {
  const auto policy =
      GENERATE(CachePolicyKind::kStreaming, CachePolicyKind::kH2o, CachePolicyKind::kLococo);
  auto cache = small_cache(policy);
  cache.keys = GENERATE(KeyKind::kRotated, KeyKind::kUnrotated);
  cache.scores = GENERATE(ScoreKind::kLastBlock, ScoreKind::kAccumulated);
  cache.sinks = 1;
  cache.local = policy == CachePolicyKind::kStreaming ? 0 : 1;
  cache.bptt_blocks = 5;
  const auto tokens = random_tokens(2, 28, 1);  // blocks of 6, 6, 6, 6 and 3
  const auto plan = make_step_plan(cache, 27);
  REQUIRE(std::count_if(plan.begin(), plan.end(), [](auto& step) { return step.compress; }) == 3);
  auto model = double_llama(cache);
  std::vector<std::string> parts = {"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj",
                                    "self_attn.o_proj", "embed_tokens"};
  if (policy == CachePolicyKind::kLococo) parts.push_back("memory_saver");
  CHECK(pass_gradient_error(model, cache, tokens, parts) == "");
}

TEST_CASE("gradients through two convolutions, a buffer and LoRA agree with differences",
          "[pass]") {
  auto cache = small_cache(CachePolicyKind::kLococo);
  cache.conv_layers = cache.expand = 2;
  cache.init = ConvInit::kFanIn;
  cache.buffer = 5;
  cache.mix_keys = GENERATE(true, false);
  cache.scores = ScoreKind::kAccumulated;
  cache.bptt_blocks = 8;
  auto model = tiny_llama(3, cache, small_shape());
  model->add_lora(2, 4.0, {"q_proj", "k_proj", "v_proj", "down_proj"}, 7);
  perturb(model, "lora_", 0.4, 8);
  perturb(model, "proj.weight", 0.4, 5);
  perturb(model, "embed_tokens", 0.5, 6);
  model->to(torch::kFloat64);
  model->set_compute_dtype(torch::kFloat64);
  for (auto& parameter : model->parameters()) parameter.requires_grad_(false);
  CHECK(pass_gradient_error(model, cache, random_tokens(1, 37, 1), {"memory_saver", "lora_"}) ==
        "");
}

TEST_CASE("an answer teaches the first block through two compressions", "[pass]") {
  // One layer; a token that occurs only as the first block's last, whose own target does not count:
  // its embedding matters through its key and value alone, for blocks 1 (the cache is whole), 2
  // (one compression) and 3 (two).
  auto cache = small_cache(CachePolicyKind::kLococo);
  cache.boundary_targets = false;
  cache.scores = ScoreKind::kAccumulated;
  constexpr int64_t kFact = 60;
  auto tokens = random_tokens(2, 25, 1).clamp_max(kFact - 1);
  tokens.select(/*dim=*/1, 5).fill_(kFact);
  auto model = double_llama(cache, small_shape(/*layers=*/1));
  auto embedding = model->model->embed_tokens->weight;
  const auto row_gradient = [&](int64_t window) {
    embedding.requires_grad_(true);
    embedding.mutable_grad() = torch::Tensor();
    cache.bptt_blocks = window;
    train_in_windows(model, {tokens}, cache, kLossChunk);
    embedding.requires_grad_(false);
    return embedding.grad()[kFact].clone();
  };
  CHECK(row_gradient(1).abs().max().item<double>() == 0.0);
  const auto through_two = row_gradient(4) - row_gradient(3);
  CHECK(through_two.abs().max().item<double>() > 1e-4);

  // What the loss of block 3 alone says.
  const auto plan = make_step_plan(cache, 24);
  REQUIRE((plan[2].compress && plan[3].compress && plan.size() == 4));
  const auto last_loss = [&] {
    const torch::NoGradGuard no_grad;
    auto caches = model->empty_caches();
    torch::Tensor hidden_BLE;
    for (const auto& step : plan)
      hidden_BLE = model->forward_block(tokens.slice(1, step.begin, step.end), step, caches);
    return chunked_cross_entropy(hidden_BLE.narrow(1, 0, 5).flatten(0, 1), model->head_weight(),
                                 tokens.narrow(1, 19, 5).reshape({-1}), kLossChunk)
        .item<double>();
  };
  auto row = embedding[kFact];
  for (int64_t e = 0; e < row.size(0); ++e) {
    const auto direction = torch::zeros_like(row);
    direction[e] = 1.0;
    CHECK(through_two[e].item<double>() == Approx(slope(row, direction, last_loss)).margin(1e-7));
  }
}
