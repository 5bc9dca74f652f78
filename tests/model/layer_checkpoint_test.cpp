#include "model/layer_checkpoint.h"

#include "tensor/kit/torch.h"
#include "tests/support/catch.h"
#include "tests/support/gradcheck.h"
#include "tests/support/tensors.h"
#include "tests/support/tiny_llama.h"

using namespace lococo;
using namespace lococo::testing;

namespace {

/// Gradients of all parameters that need one, by name.
std::map<std::string, torch::Tensor> gradients_of(Llama model, bool checkpoint_layers) {
  const auto tokens = random_tokens(2, 11, 1);
  model->zero_grad();
  weighted_sum(model->forward(tokens, {checkpoint_layers})).backward();
  std::map<std::string, torch::Tensor> gradients;
  for (const auto& item : model->named_parameters()) {
    if (item.value().grad().defined()) gradients[item.key()] = item.value().grad().clone();
  }
  return gradients;
}

void train_only(Llama& model, const std::vector<std::string>& parts) {
  for (auto& item : model->named_parameters()) {
    bool trained = false;
    for (const auto& part : parts) trained = trained || item.key().find(part) != std::string::npos;
    item.value().requires_grad_(trained);
  }
}

}  // namespace

TEST_CASE("a recomputed layer has the gradients of one that kept everything", "[model]") {
  // Frozen feed-forwards skip their last product; LoRA on one, or a trained one, does not.
  const auto parts =
      GENERATE(std::vector<std::string>{"lora", "norm", "embed"}, std::vector<std::string>{"lora"},
               std::vector<std::string>{"down_proj", "v_proj"},
               std::vector<std::string>{"post_attention_layernorm"});
  const bool lora_in_mlp = GENERATE(false, true);
  auto model = tiny_llama(3);
  std::vector<std::string> targets = {"q_proj", "k_proj", "v_proj", "o_proj"};
  if (lora_in_mlp) targets.push_back("down_proj");
  model->add_lora(/*rank=*/2, /*alpha=*/4.0, targets, /*seed=*/5);
  {
    const torch::NoGradGuard no_grad;
    for (auto& item : model->named_parameters())
      if (item.key().find("lora_B") != std::string::npos)
        item.value().copy_(normal(item.value().sizes(), 7));
  }
  train_only(model, parts);
  const auto kept = gradients_of(model, false), recomputed = gradients_of(model, true);
  REQUIRE(!kept.empty());
  REQUIRE(recomputed.size() == kept.size());
  for (const auto& [name, gradient] : kept) {
    INFO(name);
    CHECK(gradient.abs().max().item<double>() > 0);
    CHECK_CLOSE(recomputed.at(name), gradient, /*factor=*/10.0);  // through all layers
  }
}
