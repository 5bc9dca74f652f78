#include "model/layer_range.h"

#include "model/llama.h"
#include "model/parameter_list.h"
#include "tensor/kit/torch.h"
#include "tests/support/catch.h"
#include "tests/support/tensors.h"
#include "tests/support/tiny_llama.h"

using namespace lococo;
using namespace lococo::testing;

namespace {

ModelShape five_layers(bool tied) {
  auto shape = tiny_shape();
  shape.num_layers = 5;
  shape.tie_word_embeddings = tied;
  return shape;
}

}  // namespace

TEST_CASE("a range knows by their names what other parts hold", "[model]") {
  const LayerRange middle = {1, 3, 12, false}, last = {10, 12, 12, true};
  CHECK(middle.is_elsewhere("model.embed_tokens.weight"));
  CHECK(middle.is_elsewhere("model.norm.weight"));
  CHECK(middle.is_elsewhere("lm_head.weight"));
  CHECK(middle.is_elsewhere("model.layers.0.mlp.up_proj.weight"));
  CHECK(middle.is_elsewhere("model.layers.10.mlp.up_proj.weight.m"));
  CHECK_FALSE(middle.is_elsewhere("model.layers.1.mlp.up_proj.weight"));
  CHECK_FALSE(middle.is_elsewhere("model.layers.2.self_attn.q_proj.lora_A.weight"));
  // Of no part.
  CHECK_FALSE(middle.is_elsewhere("model.layers.12.mlp.up_proj.weight"));
  CHECK_FALSE(middle.is_elsewhere("model.layers.x.weight"));
  CHECK_FALSE(middle.is_elsewhere("something.weight"));
  CHECK_FALSE(last.is_elsewhere("model.embed_tokens.weight"));
  CHECK(last.is_elsewhere("model.layers.1.mlp.up_proj.weight"));
  CHECK_FALSE(LayerRange().is_elsewhere("model.layers.1.mlp.up_proj.weight"));
}

TEST_CASE("parts of a model have the parameters of the whole, from the same seeds", "[model]") {
  const std::vector<std::string> targets = {"q_proj", "down_proj"};
  for (const bool tied : {false, true}) {
    INFO("tied " << tied);
    const auto shape = five_layers(tied);
    auto whole = tiny_llama(3, tiny_cache(), shape);
    whole->init_random(0.1, 7);
    whole->add_lora(2, 4.0, targets, 9);
    const auto want = snapshot(whole);
    TensorMap got;
    for (const auto& [begin, end] :
         std::vector<std::pair<int64_t, int64_t>>{{0, 2}, {2, 3}, {3, 5}}) {
      const LayerRange range = {begin, end, 5, tied};
      Llama part(shape, range, tiny_cache(), AttentionConfig(), 3);
      part->init_random(0.1, 7);
      part->add_lora(2, 4.0, targets, 9);
      const auto listed = parameters_of(range, list_parameters(shape, tiny_cache(), {2, targets}));
      const auto own = snapshot(part);
      CHECK(listed.size() == own.size());
      for (const auto& [name, tensor] : listed) {
        INFO(name);
        REQUIRE(own.count(name) == 1);
        CHECK(own.at(name).sizes() == tensor.sizes());
      }
      got.insert(own.begin(), own.end());
    }
    CHECK(same_bits(got, want));
  }
}
