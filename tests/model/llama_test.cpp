// Identities of the whole model, with and without a cache.
#include "model/llama.h"

#include "tensor/kit/torch.h"
#include "tests/support/catch.h"
#include "tests/support/policies.h"
#include "tests/support/tensors.h"
#include "tests/support/tiny_llama.h"
#include "tests/support/user_error.h"

using namespace lococo;
using namespace lococo::testing;

namespace {

constexpr int64_t kLength = 29;
// Hidden states pass two layers and three norms, which widens rounding differences of single
// precision.
constexpr double kThroughLayers = 5.0;

torch::Tensor whole_hidden(Llama& model, const torch::Tensor& tokens_BL) {
  const torch::NoGradGuard no_grad;
  return model->forward(tokens_BL);
}

Llama model_with(CachePolicyKind policy, int64_t slots, int64_t block, KeyKind keys) {
  CacheConfig cache;
  cache.policy = policy;
  cache.slots = slots;
  cache.block = block;
  cache.buffer = 0;
  cache.kernel_size = 3;
  cache.keys = keys;
  return tiny_llama(/*seed=*/3, cache);
}

}  // namespace

TEST_CASE("blocks with a cache that never overflows are one long forward", "[model]") {
  const auto policy = GENERATE(CachePolicyKind::kNone, CachePolicyKind::kStreaming,
                               CachePolicyKind::kH2o, CachePolicyKind::kLococo);
  const auto keys = GENERATE(KeyKind::kRotated, KeyKind::kUnrotated);
  const auto tokens = random_tokens(2, kLength, 1);
  for (const int64_t block : {8, 5, 1, 64}) {
    INFO("block " << block);
    auto model = model_with(policy, /*slots=*/kLength, block, keys);
    CHECK_CLOSE(blockwise_hidden(model, tokens), whole_hidden(model, tokens), kThroughLayers);
  }
}

TEST_CASE("a cache that does overflow changes the model", "[model]") {
  const auto policy =
      GENERATE(CachePolicyKind::kStreaming, CachePolicyKind::kH2o, CachePolicyKind::kLococo);
  auto model = model_with(policy, /*slots=*/6, /*block=*/5, KeyKind::kRotated);
  const auto tokens = random_tokens(1, kLength, 1);
  const auto blocks = blockwise_hidden(model, tokens), whole = whole_hidden(model, tokens);
  // The first compression comes with the third block.
  CHECK_CLOSE(blocks.narrow(1, 0, 10), whole.narrow(1, 0, 10), kThroughLayers);
  CHECK((blocks - whole).narrow(1, 10, kLength - 10).abs().max().item<double>() > 1e-2);
}

TEST_CASE("a whole model with LoCoCo and normalizer 0 is the model with H2O", "[model]") {
  const auto keys = GENERATE(KeyKind::kRotated, KeyKind::kUnrotated);
  const auto scores = GENERATE(ScoreKind::kLastBlock, ScoreKind::kAccumulated);
  auto cache = tiny_cache();
  cache.keys = keys;
  cache.scores = scores;
  cache.slots = 9;
  cache.sinks = 1;
  cache.local = 2;
  cache.init = ConvInit::kIdentity;
  auto lococo_model = tiny_llama(3, cache);
  cache.policy = CachePolicyKind::kH2o;
  auto h2o_model = tiny_llama(3, cache);
  const auto tokens = random_tokens(2, 50, 1);
  CHECK_CLOSE(blockwise_hidden(lococo_model, tokens), blockwise_hidden(h2o_model, tokens),
              kThroughLayers);
}

TEST_CASE("grouped query attention with G = H is multi-head attention", "[model]") {
  auto grouped_shape = tiny_shape();  // 4 query heads on 2 key heads
  auto full_shape = grouped_shape;
  full_shape.num_kv_heads = full_shape.num_heads;
  auto grouped = tiny_llama(3, {}, grouped_shape), full = tiny_llama(4, {}, full_shape);
  {
    const torch::NoGradGuard no_grad;
    auto source = grouped->named_parameters();
    for (auto& item : full->named_parameters()) {
      auto value = source[item.key()];
      if (value.sizes() != item.value().sizes()) {  // k_proj and v_proj: each head twice
        const int64_t D = grouped_shape.head_dim, E = grouped_shape.hidden_size;
        value = value.view({2, 1, D, E}).expand({2, 2, D, E}).reshape({4 * D, E});
      }
      item.value().copy_(value);
    }
  }
  const auto tokens = random_tokens(2, kLength, 1);
  CHECK_CLOSE(whole_hidden(full, tokens), whole_hidden(grouped, tokens), kThroughLayers);
}

TEST_CASE("a model with new LoRA is its base, and a merged one is the model with LoRA", "[model]") {
  auto model = tiny_llama(3), merged = tiny_llama(3);
  const auto tokens = random_tokens(2, kLength, 1);
  const auto base = whole_hidden(model, tokens);
  model->add_lora(2, 4.0,
                  {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}, 5);
  CHECK_SAME(whole_hidden(model, tokens), base);

  perturb(model, "lora_B", 0.1, 6);
  const auto tuned = whole_hidden(model, tokens);
  CHECK((tuned - base).abs().max().item<double>() > 1e-2);
  const torch::NoGradGuard no_grad;
  for (size_t n = 0; n < model->model->layers.size(); ++n) {
    auto &from = model->model->layers[n], &to = merged->model->layers[n];
    to->self_attn->q_proj->weight.copy_(from->self_attn->q_proj->merged_weight());
    to->self_attn->k_proj->weight.copy_(from->self_attn->k_proj->merged_weight());
    to->self_attn->v_proj->weight.copy_(from->self_attn->v_proj->merged_weight());
    to->self_attn->o_proj->weight.copy_(from->self_attn->o_proj->merged_weight());
    to->mlp->gate_proj->weight.copy_(from->mlp->gate_proj->merged_weight());
    to->mlp->up_proj->weight.copy_(from->mlp->up_proj->merged_weight());
    to->mlp->down_proj->weight.copy_(from->mlp->down_proj->merged_weight());
  }
  CHECK_CLOSE(whole_hidden(merged, tokens), tuned, kThroughLayers);
}

TEST_CASE("a bfloat16 model stays near the float32 one", "[model]") {
  auto wide = tiny_llama(3), narrow = tiny_llama(3);
  narrow->to(torch::kBFloat16);
  narrow->set_compute_dtype(torch::kBFloat16);
  const auto tokens = random_tokens(2, kLength, 1);
  const auto got = whole_hidden(narrow, tokens);
  CHECK(got.scalar_type() == torch::kBFloat16);
  // Rounding to 8 bits at every operation of two layers.
  CHECK_CLOSE(got, whole_hidden(wide, tokens), /*factor=*/2.0);
}

TEST_CASE("tied embeddings are the head too", "[model]") {
  auto shape = tiny_shape();
  shape.tie_word_embeddings = true;
  auto tied = tiny_llama(3, {}, shape), untied = tiny_llama(3);
  CHECK(tied->head_weight().is_same(tied->model->embed_tokens->weight));
  CHECK_FALSE(tied->named_parameters().contains("lm_head.weight"));
  CHECK(untied->head_weight().is_same(untied->lm_head->weight));
}

TEST_CASE("random weights depend on the seed, and kernels differ from layer to layer", "[model]") {
  auto a = tiny_llama(3, tiny_cache()), same = tiny_llama(3, tiny_cache()),
       other = tiny_llama(4, tiny_cache());
  CHECK(same_bits(snapshot(a), snapshot(same)));
  const auto first = snapshot(a), second = snapshot(other);
  for (const auto& [name, tensor] : first) {
    if (tensor.numel() == 1) continue;  // the normalizer starts at a value, not at random
    INFO(name);
    CHECK_FALSE(torch::equal(tensor, second.at(name)));
  }
  const std::string kernel = ".self_attn.memory_saver.layers.0.weight";
  CHECK_FALSE(
      torch::equal(first.at("model.layers.0" + kernel), first.at("model.layers.1" + kernel)));
}

TEST_CASE("a projection that does not exist is the user's fault", "[model]") {
  auto model = tiny_llama(3);
  const auto line = user_error_of([&] { model->add_lora(2, 4.0, {"q_proj", "qkv_proj"}, 1); });
  CHECK_CONTAINS(line, "qkv_proj");
  CHECK_CONTAINS(line, "tune.lora_targets");
}
