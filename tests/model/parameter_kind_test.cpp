#include "model/parameter_kind.h"

#include <map>

#include "core/projections.h"
#include "model/parameter_list.h"
#include "tensor/kit/torch.h"
#include "tests/support/catch.h"
#include "tests/support/tiny_llama.h"

using namespace lococo;
using namespace lococo::testing;

namespace {

/// A model with everything that has a name: convolutions in two layers, LoRA on `targets`.
struct Named {
  ModelShape shape = tiny_shape();
  CacheConfig cache = tiny_cache();
  LoraShape lora = {2, {kProjections.begin(), kProjections.end()}};

  Llama build() const {
    Llama model(shape, cache, AttentionConfig{});
    if (lora.rank > 0) model->add_lora(lora.rank, 4.0, lora.targets, 1);
    return model;
  }
};

Named with_two_convolutions(bool tied) {
  Named named;
  named.shape.tie_word_embeddings = tied;
  named.cache.conv_layers = 2;
  named.cache.expand = 3;
  named.cache.mass_channel = true;
  named.cache.normalizer_per_head = true;
  return named;
}

using Kinds = std::map<const void*, ParameterKind>;

void add_projection(const Linear& linear, Kinds* kinds) {
  (*kinds)[linear->weight.unsafeGetTensorImpl()] = ParameterKind::kProjection;
  if (!linear->has_lora()) return;
  (*kinds)[linear->lora_A->weight.unsafeGetTensorImpl()] = ParameterKind::kLora;
  (*kinds)[linear->lora_B->weight.unsafeGetTensorImpl()] = ParameterKind::kLora;
}

/// The kind of every parameter by the member that holds it.
Kinds kinds_by_member(const Llama& model) {
  Kinds kinds;
  const auto set = [&](const torch::Tensor& tensor, ParameterKind kind) {
    kinds[tensor.unsafeGetTensorImpl()] = kind;
  };
  set(model->model->embed_tokens->weight, ParameterKind::kEmbedding);
  set(model->model->norm->weight, ParameterKind::kNorm);
  if (!model->lm_head.is_empty()) set(model->lm_head->weight, ParameterKind::kHead);
  for (const auto& layer : model->model->layers) {
    set(layer->input_layernorm->weight, ParameterKind::kNorm);
    set(layer->post_attention_layernorm->weight, ParameterKind::kNorm);
    for (const auto& item : layer->self_attn->memory_saver->named_parameters()) {
      set(item.value(),
          item.key() == "normalizer" ? ParameterKind::kNormalizer : ParameterKind::kConv);
    }
    for (const auto& linear : {layer->self_attn->q_proj, layer->self_attn->k_proj,
                               layer->self_attn->v_proj, layer->self_attn->o_proj,
                               layer->mlp->gate_proj, layer->mlp->up_proj, layer->mlp->down_proj})
      add_projection(linear, &kinds);
  }
  return kinds;
}

}  // namespace

TEST_CASE("the kind of every parameter is told from its name", "[model]") {
  const bool tied = GENERATE(false, true);
  const Llama model = with_two_convolutions(tied).build();
  const Kinds want = kinds_by_member(model);
  CHECK(want.size() == model->named_parameters().size());
  for (const auto& item : model->named_parameters()) {
    INFO(item.key());
    CHECK(kind_of_parameter(item.key()) == want.at(item.value().unsafeGetTensorImpl()));
  }
}

TEST_CASE("a kind belongs to the base, to LoRA or to the policies", "[model]") {
  for (const auto kind : {ParameterKind::kEmbedding, ParameterKind::kNorm,
                          ParameterKind::kProjection, ParameterKind::kHead}) {
    CHECK(is_of_base(kind));
    CHECK_FALSE(is_of_policy(kind));
  }
  CHECK_FALSE(is_of_base(ParameterKind::kLora));
  CHECK_FALSE(is_of_policy(ParameterKind::kLora));
  for (const auto kind : {ParameterKind::kConv, ParameterKind::kNormalizer}) {
    CHECK_FALSE(is_of_base(kind));
    CHECK(is_of_policy(kind));
  }
}

TEST_CASE("the list of parameters is what the model registers, in its order", "[model]") {
  Named named;
  SECTION("everything, tied") { named = with_two_convolutions(true); }
  SECTION("everything, untied") { named = with_two_convolutions(false); }
  SECTION("one convolution, LoRA on some projections") {
    named.lora = {3, {"v_proj", "down_proj"}};
  }
  SECTION("no policy, no LoRA") {
    named.cache = {};
    named.lora = {};
  }
  SECTION("a policy that learns nothing") { named.cache.policy = CachePolicyKind::kH2o; }
  const Llama model = named.build();
  const auto want = model->named_parameters();
  const auto got = list_parameters(named.shape, named.cache, named.lora);
  REQUIRE(got.size() == want.size());
  for (size_t i = 0; i < got.size(); ++i) {
    INFO(got[i].first);
    CHECK(got[i].first == want[i].key());
    CHECK(got[i].second.sizes() == want[i].value().sizes());
    CHECK(got[i].second.is_meta());
  }
}
