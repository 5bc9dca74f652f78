#include "core/hf_config.h"

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>

#include "core/files.h"
#include "tests/core/small_hf_config.h"
#include "tests/support/catch.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/user_error.h"

using lococo::ModelShape;
using lococo::parse_hf_config;
using lococo::RopeType;
using lococo::testing::check_same;
using lococo::testing::parse;
using lococo::testing::small_config;
using lococo::testing::TemporaryFolder;
using lococo::testing::user_error_of;
using Json = nlohmann::json;

namespace {

/// The error of the small config with `key` set to `value`.
std::string error_with(const std::string& key, const Json& value) {
  Json json = small_config();
  json[key] = value;
  const std::string line = user_error_of([&] { parse(json); });
  CHECK_CONTAINS(line, "m/config.json: ");
  return line;
}

/// The working directory until the end of a block.
class InFolder {
 public:
  explicit InFolder(const std::string& folder) : before_(std::filesystem::current_path()) {
    std::filesystem::current_path(folder);
  }
  ~InFolder() {
    std::error_code ignored;
    std::filesystem::current_path(before_, ignored);
  }
  InFolder(const InFolder&) = delete;
  InFolder& operator=(const InFolder&) = delete;

 private:
  std::filesystem::path before_;
};

}  // namespace

TEST_CASE("what a config.json leaves out has the default of transformers", "[core][hf_config]") {
  Json json = small_config();
  json.erase("max_position_embeddings");
  json.erase("rms_norm_eps");
  const ModelShape shape = parse(json);
  CHECK(shape.num_kv_heads == 4);
  CHECK(shape.head_dim == 16);
  CHECK(shape.max_position_embeddings == 2048);
  CHECK(shape.rms_norm_eps == 1e-6);
  CHECK(shape.rope_theta == 10000.0);
  CHECK(shape.rope_scaling.type == RopeType::kDefault);
  CHECK_FALSE(shape.tie_word_embeddings);
  CHECK(shape.bos_token_id == 1);
  CHECK(shape.eos_token_ids == std::vector<int64_t>{2});
}

TEST_CASE("null means none for special tokens and the default elsewhere", "[core][hf_config]") {
  Json json = small_config();
  for (const char* key : {"bos_token_id", "eos_token_id", "num_key_value_heads", "head_dim",
                          "rope_scaling", "rope_parameters"}) {
    json[key] = nullptr;
  }
  const ModelShape shape = parse(json);
  CHECK(shape.bos_token_id == -1);
  CHECK(shape.eos_token_ids.empty());
  CHECK(shape.num_kv_heads == 4);
  CHECK(shape.head_dim == 16);
  json["eos_token_id"] = {5, 6};
  CHECK(parse(json).eos_token_ids == std::vector<int64_t>{5, 6});
}

TEST_CASE("the old and the new RoPE spelling mean the same", "[core][hf_config]") {
  Json old_spelling = small_config();
  old_spelling["rope_theta"] = 500000.0;
  old_spelling["rope_scaling"] = {{"type", "linear"}, {"factor", 8.0}};
  Json new_spelling = small_config();
  new_spelling["rope_parameters"] = {
      {"rope_type", "linear"}, {"factor", 8}, {"rope_theta", 500000.0}};
  check_same(parse(old_spelling), parse(new_spelling));
  CHECK(parse(old_spelling).rope_theta == 500000.0);
  CHECK(parse(old_spelling).rope_scaling.type == RopeType::kLinear);
  CHECK(parse(old_spelling).rope_scaling.factor == 8.0);
}

TEST_CASE("the parameters of llama3 and yarn are read", "[core][hf_config]") {
  Json json = small_config();
  json["rope_scaling"] = {{"rope_type", "llama3"},
                          {"factor", 8.0},
                          {"low_freq_factor", 1.5},
                          {"high_freq_factor", 5.0},
                          {"original_max_position_embeddings", 128}};
  ModelShape shape = parse(json);
  CHECK(shape.rope_scaling.type == RopeType::kLlama3);
  CHECK(shape.rope_scaling.low_freq_factor == 1.5);
  CHECK(shape.rope_scaling.high_freq_factor == 5.0);
  CHECK(shape.rope_scaling.original_max_position_embeddings == 128);
  json["rope_scaling"] = {{"type", "yarn"}, {"factor", 4.0},           {"beta_fast", 30},
                          {"beta_slow", 2}, {"attention_factor", 1.2}, {"finetuned", true}};
  json["original_max_position_embeddings"] = 64;
  shape = parse(json);
  CHECK(shape.rope_scaling.type == RopeType::kYarn);
  CHECK(shape.rope_scaling.beta_fast == 30.0);
  CHECK(shape.rope_scaling.beta_slow == 2.0);
  CHECK(shape.rope_scaling.attention_factor == 1.2);
  CHECK(shape.rope_scaling.original_max_position_embeddings == 64);
}

TEST_CASE("models that are not a LLaMA as we compute it are refused", "[core][hf_config]") {
  CHECK_CONTAINS(error_with("model_type", "mistral"), "not a LLaMA model (model_type \"mistral\"");
  CHECK_CONTAINS(error_with("architectures", {"LlamaForSequenceClassification"}),
                 "LlamaForSequenceClassification");
  CHECK_CONTAINS(error_with("architectures", "LlamaForCausalLM"), "architectures is not a list");
  CHECK_CONTAINS(error_with("hidden_act", "gelu"), "hidden_act \"gelu\"");
  CHECK_CONTAINS(error_with("attention_bias", true), "attention_bias is true");
  CHECK_CONTAINS(error_with("mlp_bias", true), "mlp_bias is true");
  CHECK_CONTAINS(error_with("quantization_config", {{"bits", 4}}), "quantized weights");
  CHECK_CONTAINS(error_with("partial_rotary_factor", 0.5), "partial_rotary_factor");
}

TEST_CASE("shapes that do not fit together are refused", "[core][hf_config]") {
  CHECK_CONTAINS(error_with("vocab_size", nullptr), "vocab_size is missing");
  CHECK_CONTAINS(error_with("vocab_size", "97"), "vocab_size is not an integer");
  CHECK_CONTAINS(error_with("vocab_size", 97.5), "vocab_size is not an integer");
  CHECK_CONTAINS(error_with("vocab_size", 0), "vocab_size: must be positive");
  CHECK_CONTAINS(error_with("num_hidden_layers", -1), "num_hidden_layers: must be positive");
  CHECK_CONTAINS(error_with("intermediate_size", int64_t{1} << 40), "intermediate_size");
  CHECK_CONTAINS(error_with("num_attention_heads", 0), "num_attention_heads");
  CHECK_CONTAINS(error_with("num_attention_heads", 5), "not a multiple of num_attention_heads");
  CHECK_CONTAINS(error_with("num_key_value_heads", 3), "3 does not divide the 4 attention heads");
  CHECK_CONTAINS(error_with("head_dim", 15), "head_dim: 15 must be positive and even");
  CHECK_CONTAINS(error_with("rms_norm_eps", 0.0), "rms_norm_eps: must be positive");
  CHECK_CONTAINS(error_with("rms_norm_eps", "small"), "rms_norm_eps is not a number");
  CHECK_CONTAINS(error_with("rope_theta", -1.0), "rope_theta: must be from 1 to 1e15");
  CHECK_CONTAINS(error_with("max_position_embeddings", 0), "max_position_embeddings");
  CHECK_CONTAINS(error_with("tie_word_embeddings", 1), "is not true or false");
  CHECK_CONTAINS(error_with("eos_token_id", "two"), "eos_token_id");
}

TEST_CASE("sizes and numbers that no model has are refused by their key", "[core][hf_config]") {
  for (const char* key :
       {"vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers",
        "num_attention_heads", "num_key_value_heads", "head_dim", "max_position_embeddings"}) {
    for (const int64_t value : {int64_t{0}, int64_t{-1}, int64_t{1} << 40, INT64_MAX, INT64_MIN}) {
      const bool may_default = value == 0 && std::string(key) == "num_key_value_heads";
      if (may_default || (value == 0 && std::string(key) == "head_dim")) continue;
      INFO(key << " " << value);
      CHECK_CONTAINS(error_with(key, value), key);
    }
  }
  CHECK_CONTAINS(error_with("num_hidden_layers", 1'000'000'000),
                 "num_hidden_layers: must be positive, and at most 4096; it is 1000000000");
  CHECK_CONTAINS(error_with("vocab_size", UINT64_MAX), "vocab_size");
  for (const double theta : {0.0, -1.0, 0.5, 1e16, 1e308}) {
    CHECK_CONTAINS(error_with("rope_theta", theta), "rope_theta: must be from 1 to 1e15");
  }
  for (const double eps : {0.0, -1e-6, 1.0, 1e300}) {
    CHECK_CONTAINS(error_with("rms_norm_eps", eps), "rms_norm_eps: must be positive and below 1");
  }
  const auto with_factor = [](double factor) {
    return error_with("rope_scaling", Json{{"type", "linear"}, {"factor", factor}});
  };
  CHECK_CONTAINS(with_factor(1e300), "at most 1e9");
}

TEST_CASE("a model that is not there says how to get it", "[core][hf_config]") {
  const auto error = [](const std::string& dir) {
    return user_error_of([&] { lococo::read_hf_config(dir); });
  };
  CHECK_CONTAINS(error("HuggingFaceTB/SmolLM2-135M"),
                 "huggingface-cli download HuggingFaceTB/SmolLM2-135M --local-dir DIR");
  const TemporaryFolder folder;
  lococo::write_text_file(folder / "model.gguf", "GGUF");
  CHECK_CONTAINS(error(folder / "model.gguf"),
                 "run: scripts/gguf_to_hf.py " + folder / "model.gguf" + " FOLDER");
  CHECK_CONTAINS(error("nowhere.gguf"), "run: scripts/gguf_to_hf.py nowhere.gguf FOLDER");
  const std::string smollm2 = folder / "models/smollm2-135m";
  CHECK_CONTAINS(error(smollm2), "no such folder; run: scripts/get_smollm2.sh " + smollm2);
  const std::string own = error("models/books-24m");
  CHECK_CONTAINS(own, "models/books-24m: there is no such folder; a Hugging Face model folder");
  CHECK(own.find("huggingface-cli") == std::string::npos);
  {
    const InFolder inside(folder.path());
    std::filesystem::create_directory("shelf");
    CHECK(error("shelf/book").find("huggingface-cli") == std::string::npos);
    CHECK_CONTAINS(error("shelves/book"), "huggingface-cli");
  }
  lococo::write_text_file(folder / "model.safetensors", "");
  CHECK_CONTAINS(error(folder / "model.safetensors"), "is a file; name the folder");
  const std::string gone = error(folder / "gone");
  CHECK_CONTAINS(gone, "there is no such folder");
  CHECK(gone.find("huggingface-cli") == std::string::npos);
  CHECK_CONTAINS(error(folder / std::string(300, 'n')), "cannot be looked up");
}

TEST_CASE("RoPE scaling that we do not know is refused and not skipped", "[core][hf_config]") {
  const auto error = [](const Json& rope) { return error_with("rope_scaling", rope); };
  CHECK_CONTAINS(error({{"type", "longrope"}, {"factor", 4.0}}), "RoPE type \"longrope\"");
  CHECK_CONTAINS(error({{"type", "linear"}}), "rope_scaling: factor is missing");
  CHECK_CONTAINS(error({{"type", "linear"}, {"factor", 0.5}}), "at least 1");
  CHECK_CONTAINS(error({{"type", "linear"}, {"factor", "4"}}), "factor is not a number");
  CHECK_CONTAINS(error({{"type", "yarn"}, {"factor", 4.0}, {"mscale", 1.0}}),
                 "mscale is not supported");
  CHECK_CONTAINS(error({{"type", "llama3"}, {"factor", 4.0}}), "low_freq_factor is missing");
  CHECK_CONTAINS(error({{"type", "llama3"},
                        {"factor", 4.0},
                        {"low_freq_factor", 4.0},
                        {"high_freq_factor", 4.0}}),
                 "high_freq_factor must be larger");
  CHECK_CONTAINS(error({{"type", "yarn"}, {"factor", 4.0}, {"beta_fast", 0.5}}), "beta_fast");
  CHECK_CONTAINS(error("linear"), "rope_scaling: is not an object");
}

TEST_CASE("text that is not a JSON object is refused", "[core][hf_config]") {
  CHECK_CONTAINS(user_error_of([] { parse_hf_config("{\"a\":", "m/config.json"); }),
                 "m/config.json: is not JSON (at byte 6)");
  CHECK_CONTAINS(user_error_of([] { parse_hf_config("[]", "m/config.json"); }),
                 "is not a JSON object");
}
