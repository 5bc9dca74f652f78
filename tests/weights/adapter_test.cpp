#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "core/files.h"
#include "tensor/kit/torch.h"
#include "tests/support/catch.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/tiny_llama.h"
#include "tests/support/user_error.h"
#include "weights/lora_adapter.h"
#include "weights/lora_adapter_config.h"

namespace lococo::testing {
namespace {

using Json = nlohmann::json;

const std::vector<std::string> kTunedWhole = {"model.embed_tokens.weight",
                                              "model.layers.0.input_layernorm.weight",
                                              "model.layers.0.post_attention_layernorm.weight",
                                              "model.layers.1.input_layernorm.weight",
                                              "model.layers.1.post_attention_layernorm.weight",
                                              "model.norm.weight"};

Llama tuned_model(const ModelShape& shape = tiny_shape()) {
  Llama model = tiny_llama(3, {}, shape);
  model->add_lora(2, 6.0, {"q_proj", "down_proj"}, 5);
  perturb(model, "lora_B", 0.3, 6);
  perturb(model, "norm.weight", 0.1, 7);
  perturb(model, "embed_tokens", 0.1, 8);
  return model;
}

/// A saved adapter whose files a test may edit.
struct SavedAdapter {
  explicit SavedAdapter(const ModelShape& shape = tiny_shape()) : model(tuned_model(shape)) {
    save_adapter(model, folder.path(), kTunedWhole, {"some/base", "0123456789abcdef"});
  }
  Json config() const { return Json::parse(read_text_file(folder / "adapter_config.json")); }
  void set(const std::string& key, const Json& value) {
    Json changed = config();
    changed[key] = value;
    write_text_file(folder / "adapter_config.json", changed.dump());
  }
  template <typename Change>
  void change(const Change& edit) {
    TensorMap tensors = read_tensors(folder / "adapter_model.safetensors");
    edit(tensors);
    write_tensors(folder / "adapter_model.safetensors", tensors);
  }
  std::string load_error() const {
    Llama other = tiny_llama(3);
    return user_error_of([&] { load_adapter(other, folder.path()); });
  }
  TemporaryFolder folder;
  Llama model;
};

}  // namespace

TEST_CASE("An adapter brings its LoRA, embedding and norms to a bare base bit for bit",
          "[weights]") {
  SavedAdapter saved;
  Llama loaded = tiny_llama(3);
  load_adapter(loaded, saved.folder.path());
  CHECK(same_bits(snapshot(saved.model), snapshot(loaded)));
  const auto& q = loaded->model->layers[0]->self_attn->q_proj;
  CHECK(q->lora_scale() == 3.0);
  CHECK_FALSE(loaded->model->layers[0]->self_attn->k_proj->has_lora());
  CHECK(base_fingerprint_of_adapter(saved.folder.path()) == "0123456789abcdef");
  CHECK(whole_tensors_of_adapter(saved.folder.path()) == kTunedWhole);
}

TEST_CASE("adapter_config.json names what PEFT needs", "[weights]") {
  const Json config = SavedAdapter().config();
  CHECK(config["peft_type"] == "LORA");
  CHECK(config["task_type"] == "CAUSAL_LM");
  CHECK(config["base_model_name_or_path"] == "some/base");
  CHECK(config["r"] == 2);
  CHECK(config["lora_alpha"] == 6.0);
  CHECK(config["target_modules"] == Json({"down_proj", "q_proj"}));
  CHECK(config["modules_to_save"] ==
        Json({"embed_tokens", "input_layernorm", "norm", "post_attention_layernorm"}));
}

TEST_CASE("Tensor names with PEFT's adapter name and wrapper in them are read", "[weights]") {
  SavedAdapter saved;
  saved.change([](TensorMap& tensors) {
    TensorMap renamed;
    for (auto& [name, tensor] : tensors) {
      std::string other = name;
      const size_t end = other.rfind(".weight");
      const bool is_lora = other.find(".lora_") != std::string::npos;
      other.insert(end, is_lora ? ".default" : ".modules_to_save.default");
      renamed[other] = tensor;
    }
    tensors = renamed;
  });
  Llama loaded = tiny_llama(3);
  load_adapter(loaded, saved.folder.path());
  CHECK(same_bits(snapshot(saved.model), snapshot(loaded)));
}

TEST_CASE("Rank-stabilised adapters are scaled by alpha over the root of the rank", "[weights]") {
  SavedAdapter saved;
  saved.set("use_rslora", true);
  Llama loaded = tiny_llama(3);
  load_adapter(loaded, saved.folder.path());
  CHECK(loaded->model->layers[0]->self_attn->q_proj->lora_scale() ==
        Approx(6.0 / std::sqrt(2.0)).epsilon(1e-12));
  TemporaryFolder again;
  save_adapter(loaded, again.path(), {}, {});
  Llama reloaded = tiny_llama(3);
  load_adapter(reloaded, again.path());
  CHECK(reloaded->model->layers[0]->self_attn->q_proj->lora_scale() ==
        Approx(6.0 / std::sqrt(2.0)).epsilon(1e-12));
}

TEST_CASE("PEFT options that would change the result are refused by name", "[weights]") {
  const auto [key, value] = GENERATE(
      table<std::string, std::string>({{"peft_type", R"("IA3")"},
                                       {"use_dora", "true"},
                                       {"bias", R"("all")"},
                                       {"lora_bias", "true"},
                                       {"fan_in_fan_out", "true"},
                                       {"rank_pattern", R"({"q_proj": 4})"},
                                       {"alpha_pattern", R"({"q_proj": 4})"},
                                       {"layers_to_transform", "[0]"},
                                       {"layer_replication", "[[0, 1]]"},
                                       {"trainable_token_indices", "[5]"},
                                       {"target_parameters", R"(["x"])"},
                                       {"init_lora_weights", R"("pissa")"},
                                       {"target_modules", R"(".*q_proj")"},
                                       {"target_modules", R"(["lm_head"])"},
                                       {"target_modules", R"(["layers.0.self_attn.q_proj"])"},
                                       {"target_modules", "7"},
                                       {"r", "0"},
                                       {"r", "2.5"},
                                       {"r", "65537"},
                                       {"r", "1000000000"},
                                       {"lora_alpha", "0"},
                                       {"lora_alpha", "-1"},
                                       {"lora_alpha", "1e300"},
                                       {"lora_alpha", R"("six")"},
                                       {"modules_to_save", R"("embed_tokens")"}}));
  SavedAdapter saved;
  saved.set(key, Json::parse(value));
  const std::string line = saved.load_error();
  CHECK_CONTAINS(line, saved.folder / "adapter_config.json");
  CHECK_CONTAINS(line, key);
}

TEST_CASE("Harmless spellings of adapter_config.json are accepted", "[weights]") {
  const auto [key, value] = GENERATE(table<std::string, std::string>(
      {{"bias", R"("none")"},
       {"rank_pattern", "{}"},
       {"layers_to_transform", "null"},
       {"init_lora_weights", R"("gaussian")"},
       {"lora_dropout", "0.1"},
       {"target_modules", R"(["self_attn.q_proj", "mlp.down_proj"])"},
       {"lora_alpha", "6"},
       {"some_later_option", "null"}}));
  SavedAdapter saved;
  saved.set(key, Json::parse(value));
  Llama loaded = tiny_llama(3);
  load_adapter(loaded, saved.folder.path());
  CHECK(same_bits(snapshot(saved.model), snapshot(loaded)));
}

TEST_CASE("What is wrong with an adapter's tensors is told in one line", "[weights]") {
  SavedAdapter saved;
  const std::string q = "base_model.model.model.layers.0.self_attn.q_proj.";
  saved.change([&](TensorMap& tensors) {
    tensors.erase(q + "lora_B.weight");
    tensors.erase("base_model.model.model.norm.weight");
    tensors["base_model.model.model.layers.0.self_attn.k_proj.lora_A.weight"] = torch::zeros({2});
    tensors[q + "lora_A.weight"] = torch::zeros({2, 31});
  });
  const std::string line = saved.load_error();
  CHECK_CONTAINS(line,
                 "2 tensors missing (model.layers.0.self_attn.q_proj.lora_B.weight, "
                 "model.norm.weight)");
  CHECK_CONTAINS(line, "1 tensor unknown (model.layers.0.self_attn.k_proj.lora_A.weight)");
  CHECK_CONTAINS(line, "[2, 31] in the file, [2, 32] in the model");
}

TEST_CASE("A model with other LoRA than the adapter's says which option differs", "[weights]") {
  SavedAdapter saved;
  const auto error_with = [&](int64_t rank, double alpha, const std::vector<std::string>& targets) {
    Llama model = tiny_llama(3);
    model->add_lora(rank, alpha, targets, 1);
    return user_error_of([&] { load_adapter(model, saved.folder.path()); });
  };
  CHECK_CONTAINS(error_with(4, 12.0, {"q_proj", "down_proj"}), "tune.lora_rank");
  CHECK_CONTAINS(error_with(2, 4.0, {"q_proj", "down_proj"}), "tune.lora_alpha");
  CHECK_CONTAINS(error_with(2, 6.0, {"q_proj", "k_proj"}), "tune.lora_targets");
  Llama same = tiny_llama(3);
  same->add_lora(2, 6.0, {"down_proj", "q_proj"}, 1);
  load_adapter(same, saved.folder.path());
  CHECK(same_bits(snapshot(saved.model), snapshot(same)));
}

TEST_CASE("A tied embedding is written as the head too, and both must agree", "[weights]") {
  ModelShape shape = tiny_shape();
  shape.tie_word_embeddings = true;
  SavedAdapter saved(shape);
  const std::string head = "base_model.model.lm_head.weight";
  CHECK(read_tensors(saved.folder / "adapter_model.safetensors").count(head) == 1);
  CHECK_CONTAINS(saved.config()["modules_to_save"].dump(), "lm_head");
  Llama loaded = tiny_llama(3, {}, shape);
  load_adapter(loaded, saved.folder.path());
  CHECK(same_bits(snapshot(saved.model), snapshot(loaded)));

  saved.change([&](TensorMap& tensors) { tensors[head] += 1; });
  const std::string line = user_error_of([&] { load_adapter(loaded, saved.folder.path()); });
  CHECK_CONTAINS(line, "lm_head");
}

TEST_CASE("An adapter may hold tuned norms and embedding without LoRA", "[weights]") {
  Llama model = tiny_llama(3);
  perturb(model, "norm.weight", 0.1, 7);
  TemporaryFolder folder;
  save_adapter(model, folder.path(), {"model.norm.weight"}, {});
  Llama loaded = tiny_llama(3);
  load_adapter(loaded, folder.path());
  CHECK(torch::equal(loaded->model->norm->weight, model->model->norm->weight));
  CHECK(snapshot(loaded).size() == snapshot(model).size());
  CHECK(base_fingerprint_of_adapter(folder.path()).empty());
}

TEST_CASE("Adapters in pickle files and folders without one are refused", "[weights]") {
  SavedAdapter saved;
  std::filesystem::remove(saved.folder / "adapter_model.safetensors");
  CHECK_CONTAINS(saved.load_error(), "adapter_model.safetensors");
  write_text_file(saved.folder / "adapter_model.bin", "x");
  CHECK_CONTAINS(saved.load_error(), "adapter_model.bin");
  std::filesystem::remove(saved.folder / "adapter_config.json");
  CHECK_FALSE(has_adapter(saved.folder.path()));
  CHECK_CONTAINS(saved.load_error(), "adapter_config.json");
  write_text_file(saved.folder / "adapter_config.json", "[1]");
  CHECK_CONTAINS(saved.load_error(), "is not a JSON object");
}

}  // namespace lococo::testing
