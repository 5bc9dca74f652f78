// Writes what the Python side compares: for each case a base model in Hugging Face's format, a
// checkpoint tuned on it, the config of lococo-export, and our own full-attention logits.
//
//   interop_models OUT: writes OUT/CASE/{base, run/step-00000001, config.yaml,
//   expected.safetensors}

#include <cstdio>
#include <filesystem>
#include <string>

#include "config/config_write.h"
#include "core/files.h"
#include "tensor/kit/torch.h"
#include "tests/support/tiny_llama.h"
#include "weights/checkpoint.h"
#include "weights/fingerprint.h"
#include "weights/hf_weights.h"
#include "weights/hf_weights_save.h"

namespace lococo::testing {
namespace {

struct Case {
  const char* name;
  RopeScaling scaling;  ///< of the tuned model; the base has none
  bool tied;
};

std::vector<Case> cases() {
  Case linear{"linear", {}, false};
  linear.scaling.type = RopeType::kLinear;
  linear.scaling.factor = 2.0;
  Case tied = linear;
  tied.name = "tied";
  tied.tied = true;
  Case yarn{"yarn", {}, false};
  yarn.scaling.type = RopeType::kYarn;
  yarn.scaling.factor = 4.0;
  Case llama3{"llama3", {}, false};
  llama3.scaling.type = RopeType::kLlama3;
  llama3.scaling.factor = 4.0;
  llama3.scaling.original_max_position_embeddings = tiny_shape().max_position_embeddings;
  return {linear, tied, yarn, llama3};
}

ModelShape base_shape(bool tied) {
  ModelShape shape = tiny_shape();
  shape.rope_scaling = RopeScaling{};
  shape.tie_word_embeddings = tied;
  return shape;
}

/// The options that the official code knows, so that both kinds of conv export apply.
CacheConfig official_cache() {
  CacheConfig cache = tiny_cache();
  cache.keys = KeyKind::kRotated;
  cache.buffer = 16;
  return cache;
}

/// LoRA, embedding, norms and convs away from their start.
ParameterRegistry tune(Llama& model) {
  TuneConfig config;
  config.lora = config.embed = config.norm = config.conv = 1e-3;
  model->add_lora(4, 8.0, {"q_proj", "k_proj", "v_proj", "o_proj", "up_proj"}, 5);
  perturb(model, "lora_B", 0.2, 6);
  perturb(model, "embed_tokens", 0.2, 7);
  perturb(model, "norm.weight", 0.2, 8);
  perturb(model, "memory_saver", 0.2, 9);
  return ParameterRegistry(model, config, 0.0, torch::kFloat32);
}

void write_case(const Case& the_case, const std::string& dir) {
  const std::string base = dir + "/base";
  make_directories(base);
  Llama original = tiny_llama(3, {}, base_shape(the_case.tied));
  save_hf_model(original, base, DType::kFloat32, int64_t{1} << 30);

  ModelShape shape = base_shape(the_case.tied);
  shape.rope_scaling = the_case.scaling;
  Llama model(shape, official_cache(), AttentionConfig{}, 3);
  load_hf_weights(model, base);
  const ParameterRegistry registry = tune(model);

  Config config;
  config.model.path = base;
  config.model.rope_scaling = the_case.scaling;
  config.cache = official_cache();
  CheckpointState state;
  state.step = 1;
  state.base_path = base;
  state.base_fingerprint = fingerprint_of_base(base);
  state.config_yaml = config_to_yaml(config);
  config.model.adapter = save_checkpoint(dir + "/run", {}, state, model, registry, {});
  write_text_file(dir + "/config.yaml", config_to_yaml(config));

  const torch::NoGradGuard no_grad;
  const auto tokens = random_tokens(2, 60, 10);  // longer than the base's positions
  const auto logits = at::linear(model->forward(tokens), model->head_weight());
  write_tensors(dir + "/expected.safetensors", {{"input_ids", tokens}, {"logits", logits}});
}

}  // namespace
}  // namespace lococo::testing

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fputs("usage: interop_models OUT\n", stderr);
    return 2;
  }
  for (const auto& the_case : lococo::testing::cases()) {
    lococo::testing::write_case(the_case, std::string(argv[1]) + "/" + the_case.name);
    std::printf("%s\n", the_case.name);
  }
  return 0;
}
