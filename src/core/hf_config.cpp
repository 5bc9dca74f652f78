#include "core/hf_config.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>

#include "core/error.h"
#include "core/files.h"
#include "core/json_file.h"

namespace lococo {
namespace {

using Json = nlohmann::json;

constexpr RopeType kRopeTypes[] = {RopeType::kDefault, RopeType::kLinear, RopeType::kDynamic,
                                   RopeType::kYarn, RopeType::kLlama3};

/// Where scripts/get_smollm2.sh puts its model unless told otherwise.
constexpr const char* kSmolLm2 = "models/smollm2-135m";

/// Typed access to one JSON object; absent and null are the same, as in transformers.
class Reader {
 public:
  Reader(const Json& object, std::string where) : object_(object), where_(std::move(where)) {}

  [[noreturn]] void fail(const std::string& what) const { throw UserError(where_ + ": " + what); }

  const Json* find(const char* key) const {
    const auto found = object_.find(key);
    return found == object_.end() || found->is_null() ? nullptr : &*found;
  }

  int64_t integer(const char* key, std::optional<int64_t> fallback) const {
    const Json* value = find(key);
    if (value == nullptr) {
      if (!fallback) fail(std::string(key) + " is missing");
      return *fallback;
    }
    // Some writers put sizes as 4096.0.
    const bool whole_float = value->is_number_float() && std::abs(value->get<double>()) < 9e15 &&
                             value->get<double>() == std::floor(value->get<double>());
    if (!value->is_number_integer() && !whole_float) {
      fail(std::string(key) + " is not an integer");
    }
    return value->get<int64_t>();
  }

  double number(const char* key, double fallback) const {
    const Json* value = find(key);
    if (value == nullptr) return fallback;
    if (!value->is_number()) fail(std::string(key) + " is not a number");
    return value->get<double>();
  }

  bool boolean(const char* key, bool fallback) const {
    const Json* value = find(key);
    if (value == nullptr) return fallback;
    if (!value->is_boolean()) fail(std::string(key) + " is not true or false");
    return value->get<bool>();
  }

  std::string text(const char* key, const std::string& fallback) const {
    const Json* value = find(key);
    if (value == nullptr) return fallback;
    if (!value->is_string()) fail(std::string(key) + " is not a string");
    return value->get<std::string>();
  }

 private:
  const Json& object_;
  std::string where_;
};

void check_architecture(const Reader& config) {
  const std::string type = config.text("model_type", "");
  bool is_llama = type == "llama";
  std::string found = type.empty() ? "no model_type" : "model_type \"" + type + "\"";
  if (const Json* list = config.find("architectures"); list != nullptr) {
    if (!list->is_array()) config.fail("architectures is not a list");
    const Json wanted = "LlamaForCausalLM";
    const bool listed = std::find(list->begin(), list->end(), wanted) != list->end();
    is_llama = listed && (is_llama || type.empty());
    found += ", architectures " + list->dump(-1, ' ', true, Json::error_handler_t::replace);
  }
  if (!is_llama) {
    config.fail("this is not a LLaMA model (" + found +
                "); only LlamaForCausalLM with model_type llama is supported");
  }
  const std::string activation = config.text("hidden_act", "silu");
  if (activation != "silu") {
    config.fail("hidden_act \"" + activation + "\" is not supported, only silu");
  }
  for (const char* key : {"attention_bias", "mlp_bias"}) {
    if (config.boolean(key, false)) {
      config.fail(std::string(key) + " is true; projections with a bias are not supported");
    }
  }
  if (config.find("quantization_config") != nullptr) {
    config.fail("quantization_config: quantized weights are not supported; use the original model");
  }
  if (config.number("partial_rotary_factor", 1.0) != 1.0) {
    config.fail("partial_rotary_factor other than 1 is not supported");
  }
}

RopeType read_rope_type(const Reader& rope) {
  const std::string name = rope.text("rope_type", rope.text("type", "default"));
  for (const RopeType type : kRopeTypes) {
    if (name == name_of(type)) return type;
  }
  rope.fail("RoPE type \"" + name +
            "\" is not supported, only default, linear, dynamic, yarn and llama3");
}

/// A key that we do not know may change the angles, so it is refused and not skipped.
void check_rope_keys(const Reader& rope, const Json& object) {
  static const std::set<std::string> kKnown = {
      "rope_type",        "type",
      "rope_theta",       "factor",
      "low_freq_factor",  "high_freq_factor",
      "beta_fast",        "beta_slow",
      "attention_factor", "original_max_position_embeddings",
      "finetuned",        "partial_rotary_factor"};
  for (const auto& [key, value] : object.items()) {
    if (!value.is_null() && kKnown.count(key) == 0) rope.fail(key + " is not supported");
  }
  if (rope.number("partial_rotary_factor", 1.0) != 1.0) {
    rope.fail("partial_rotary_factor other than 1 is not supported");
  }
}

void read_rope(const Reader& config, const std::string& name, ModelShape* shape) {
  shape->rope_theta = config.number("rope_theta", 10000.0);
  // Both spellings may be present; transformers 5 prefers the old one then.
  const char* key = config.find("rope_scaling") != nullptr ? "rope_scaling" : "rope_parameters";
  const Json* object = config.find(key);
  if (object == nullptr) return;
  const Reader rope(*object, name + ": " + key);
  if (!object->is_object()) rope.fail("is not an object");
  check_rope_keys(rope, *object);
  shape->rope_theta = rope.number("rope_theta", shape->rope_theta);
  RopeScaling& scaling = shape->rope_scaling;
  scaling.type = read_rope_type(rope);
  if (scaling.type == RopeType::kDefault) return;
  if (rope.find("factor") == nullptr) rope.fail("factor is missing");
  scaling.factor = rope.number("factor", scaling.factor);
  // Some writers keep the pretrained length beside the dictionary instead of inside it.
  scaling.original_max_position_embeddings = rope.integer(
      "original_max_position_embeddings", config.integer("original_max_position_embeddings", 0));
  if (scaling.type == RopeType::kLlama3) {
    for (const char* needed : {"low_freq_factor", "high_freq_factor"}) {
      if (rope.find(needed) == nullptr) rope.fail(std::string(needed) + " is missing");
    }
  }
  scaling.low_freq_factor = rope.number("low_freq_factor", scaling.low_freq_factor);
  scaling.high_freq_factor = rope.number("high_freq_factor", scaling.high_freq_factor);
  scaling.beta_fast = rope.number("beta_fast", scaling.beta_fast);
  scaling.beta_slow = rope.number("beta_slow", scaling.beta_slow);
  scaling.attention_factor = rope.number("attention_factor", scaling.attention_factor);
}

void read_special_tokens(const Reader& config, ModelShape* shape) {
  // Absent means the default of transformers, null means that the model has no such token.
  shape->bos_token_id = config.integer("bos_token_id", -1);
  shape->eos_token_ids.clear();
  const Json* eos = config.find("eos_token_id");
  if (eos == nullptr) return;
  const Json list = eos->is_array() ? *eos : Json::array({*eos});
  for (const Json& id : list) {
    if (!id.is_number_integer()) config.fail("eos_token_id is not an integer or a list of them");
    shape->eos_token_ids.push_back(id.get<int64_t>());
  }
}

}  // namespace

ModelShape parse_hf_config(const std::string& text, const std::string& name) {
  const Json json = parse_json(text, name);
  if (!json.is_object()) throw UserError(name + ": is not a JSON object");
  const Reader config(json, name);
  check_architecture(config);
  ModelShape shape;
  shape.vocab_size = config.integer("vocab_size", std::nullopt);
  shape.hidden_size = config.integer("hidden_size", std::nullopt);
  shape.intermediate_size = config.integer("intermediate_size", std::nullopt);
  shape.num_layers = config.integer("num_hidden_layers", std::nullopt);
  shape.num_heads = config.integer("num_attention_heads", std::nullopt);
  shape.num_kv_heads = config.integer("num_key_value_heads", shape.num_heads);
  const bool has_head_dim = config.find("head_dim") != nullptr;
  shape.head_dim = config.integer("head_dim", 0);
  if (!has_head_dim && (shape.num_heads <= 0 || shape.hidden_size % shape.num_heads != 0)) {
    config.fail("hidden_size is not a multiple of num_attention_heads, and head_dim is missing");
  }
  // What a file leaves out has the default that LlamaConfig gives it.
  shape.max_position_embeddings = config.integer("max_position_embeddings", 2048);
  shape.rms_norm_eps = config.number("rms_norm_eps", 1e-6);
  shape.tie_word_embeddings = config.boolean("tie_word_embeddings", false);
  read_special_tokens(config, &shape);
  if (!json.contains("bos_token_id")) shape.bos_token_id = 1;
  if (!json.contains("eos_token_id")) shape.eos_token_ids = {2};
  read_rope(config, name, &shape);
  shape.resolve_defaults();
  if (const std::string problem = shape_problem(shape); !problem.empty()) config.fail(problem);
  return shape;
}

void check_model_folder(const std::string& dir) {
  if (is_folder(dir)) return;
  if (dir.ends_with(".gguf")) {
    throw UserError(dir + ": GGUF files are not read as they are; run: scripts/gguf_to_hf.py " +
                    dir + " FOLDER, and name that folder");
  }
  if (path_exists(dir)) {
    throw UserError(dir + ": is a file; name the folder that holds config.json and safetensors");
  }
  if (dir.ends_with(kSmolLm2)) {
    throw UserError(dir + ": there is no such folder; run: scripts/get_smollm2.sh " + dir);
  }
  // "org/name" and nothing else is what the Hugging Face hub calls a model.
  const size_t slash = dir.find('/');
  const bool like_hub_name = slash != std::string::npos && slash > 0 && slash + 1 < dir.size() &&
                             dir.find('/', slash + 1) == std::string::npos && dir[0] != '.';
  // Nor is a folder to come beside others, or where this project puts models and runs.
  const std::string first = dir.substr(0, slash);
  if (like_hub_name && first != "models" && first != "runs" && !is_folder(first)) {
    throw UserError(dir +
                    ": there is no such folder, and models are not downloaded; if this is a "
                    "name of the Hugging Face hub, run: huggingface-cli download " +
                    dir + " --local-dir DIR, and give DIR");
  }
  throw UserError(
      dir +
      ": there is no such folder; a Hugging Face model folder is needed, downloaded, or "
      "exported by lococo-export");
}

ModelShape read_hf_config(const std::string& dir) {
  const std::string path = dir + "/config.json";
  check_model_folder(dir);
  if (!path_exists(path)) {
    throw UserError(path + ": is missing; a Hugging Face model folder is needed");
  }
  return parse_hf_config(read_text_file(path), path);
}

}  // namespace lococo
