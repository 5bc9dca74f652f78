#include "model/layer_checkpoint.h"

#include "tensor/kit/torch.h"
#include "tests/support/catch.h"
#include "tests/support/gradcheck.h"
#include "tests/support/memory_meter.h"
#include "tests/support/tensors.h"
#include "tests/support/tiny_llama.h"

using namespace lococo;
using namespace lococo::testing;

namespace {

/// Gradients of all parameters that need one, by name.
std::map<std::string, torch::Tensor> gradients_of(Llama model, const WholeSequence& how) {
  const auto tokens = random_tokens(2, 11, 1);
  model->zero_grad();
  weighted_sum(model->forward(tokens, how)).backward();
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

WholeSequence recomputed_layers(bool attention) {
  WholeSequence how;
  how.checkpoint_layers = true;
  how.recompute_attention = attention;
  return how;
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
  const auto kept = gradients_of(model, {});
  const auto recomputed = gradients_of(model, recomputed_layers(/*attention=*/false));
  const auto attention_too = gradients_of(model, recomputed_layers(/*attention=*/true));
  REQUIRE(!kept.empty());
  REQUIRE(recomputed.size() == kept.size());
  REQUIRE(attention_too.size() == kept.size());
  for (const auto& [name, gradient] : kept) {
    INFO(name);
    CHECK(gradient.abs().max().item<double>() > 0);
    CHECK_CLOSE(recomputed.at(name), gradient, /*factor=*/10.0);  // through all layers
    CHECK_SAME(attention_too.at(name), recomputed.at(name));
  }
}

TEST_CASE("recomputed layers keep their inputs, and attention's outputs unless these are too",
          "[model]") {
  const int64_t L = 200;
  auto model = tiny_llama(3);
  const auto tokens = random_tokens(1, L, 1);
  const auto kept_by = [&](bool attention) {
    const MemoryMeter meter;
    const auto out = model->forward(tokens, recomputed_layers(attention));
    return meter.live_bytes();
  };
  const auto& shape = model->shape();
  const int64_t layers = shape.num_layers, heads = shape.num_heads;
  const int64_t outputs = layers * L * heads * shape.head_dim * 4, numbers = layers * L * heads * 4;
  CHECK(kept_by(false) - kept_by(true) >= outputs);
  CHECK(kept_by(false) - kept_by(true) <= outputs + 2 * numbers);
}

TEST_CASE("a recomputed layer's backward pass needs memory for few hidden states", "[model]") {
  const int64_t L = 4 * kFeedForwardRows;
  auto shape = tiny_shape();
  shape.num_kv_heads = shape.num_heads;
  shape.intermediate_size = 8;
  auto model = tiny_llama(3, {}, shape);
  model->add_lora(/*rank=*/2, /*alpha=*/4.0, {"q_proj", "k_proj", "v_proj", "o_proj"}, /*seed=*/5);
  train_only(model, {"lora", "norm"});
  auto how = recomputed_layers(/*attention=*/true);
  how.pattern = make_segment_pattern({L / 16, shape.num_heads / 2, 0}, AttentionBackend::kFlash);
  const auto d_out = normal({1, L, shape.hidden_size}, 9);
  const MemoryMeter meter;
  auto out = model->forward(random_tokens(1, L, 1), how);
  const int64_t kept = meter.live_bytes();
  const auto loss = (out * d_out).sum();
  out.reset();
  loss.backward();
  const auto states = static_cast<double>(meter.peak_bytes() - kept) /
                      static_cast<double>(L * shape.hidden_size * 4);
  CHECK(states < 8.5);
}
