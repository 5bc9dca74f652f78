#include "core/hf_config_write.h"

#include <nlohmann/json.hpp>

#include "core/files.h"

namespace lococo {
namespace {

using OrderedJson = nlohmann::ordered_json;

/// The angles' parameters in one dictionary, as transformers 4.43 and later read them.
OrderedJson rope_dictionary(const RopeScaling& scaling) {
  OrderedJson rope = {{"rope_type", name_of(scaling.type)}};
  if (scaling.type == RopeType::kDefault) return rope;
  rope["factor"] = scaling.factor;
  const bool has_original = scaling.type == RopeType::kYarn || scaling.type == RopeType::kLlama3;
  if (has_original && scaling.original_max_position_embeddings > 0) {
    rope["original_max_position_embeddings"] = scaling.original_max_position_embeddings;
  }
  if (scaling.type == RopeType::kLlama3) {
    rope["low_freq_factor"] = scaling.low_freq_factor;
    rope["high_freq_factor"] = scaling.high_freq_factor;
  }
  if (scaling.type == RopeType::kYarn) {
    rope["beta_fast"] = scaling.beta_fast;
    rope["beta_slow"] = scaling.beta_slow;
    if (scaling.attention_factor > 0.0) rope["attention_factor"] = scaling.attention_factor;
  }
  return rope;
}

void write_rope(ModelShape shape, OrderedJson* config) {
  RopeScaling& scaling = shape.rope_scaling;
  const int64_t original = scaling.original_max_position_embeddings > 0
                               ? scaling.original_max_position_embeddings
                               : shape.max_position_embeddings;
  // Both types leave every angle as it is with factor 1, which older releases refuse.
  const bool is_simple = scaling.type == RopeType::kLinear || scaling.type == RopeType::kDynamic;
  if (is_simple && scaling.factor == 1.0) scaling = RopeScaling{};
  // transformers takes the pretrained length of the dynamic type from max_position_embeddings; of
  // yarn and llama3 it wants the length after scaling there, and of linear it does not care: others
  // multiply what is there by the factor, as positions_of() does.
  if (scaling.type == RopeType::kDynamic) shape.max_position_embeddings = original;
  if (scaling.type == RopeType::kYarn || scaling.type == RopeType::kLlama3)
    shape.max_position_embeddings = positions_of(shape);
  scaling.original_max_position_embeddings = original;

  (*config)["max_position_embeddings"] = shape.max_position_embeddings;
  (*config)["rope_theta"] = shape.rope_theta;
  OrderedJson rope = rope_dictionary(scaling);
  if (scaling.type == RopeType::kDefault) {
    (*config)["rope_scaling"] = nullptr;
  } else if (is_simple) {
    // Releases before 4.43 demand exactly these two keys.
    (*config)["rope_scaling"] = {{"type", name_of(scaling.type)}, {"factor", scaling.factor}};
  } else {
    (*config)["rope_scaling"] = rope;
  }
  rope["rope_theta"] = shape.rope_theta;
  (*config)["rope_parameters"] = rope;
}

}  // namespace

std::string hf_config_to_json(const ModelShape& given, const std::string& dtype) {
  ModelShape shape = given;
  shape.resolve_defaults();
  OrderedJson config;
  config["architectures"] = OrderedJson::array({"LlamaForCausalLM"});
  config["model_type"] = "llama";
  config["vocab_size"] = shape.vocab_size;
  config["hidden_size"] = shape.hidden_size;
  config["intermediate_size"] = shape.intermediate_size;
  config["num_hidden_layers"] = shape.num_layers;
  config["num_attention_heads"] = shape.num_heads;
  config["num_key_value_heads"] = shape.num_kv_heads;
  config["head_dim"] = shape.head_dim;
  config["hidden_act"] = "silu";
  config["attention_bias"] = false;
  config["mlp_bias"] = false;
  config["attention_dropout"] = 0.0;
  config["initializer_range"] = 0.02;
  config["rms_norm_eps"] = shape.rms_norm_eps;
  write_rope(shape, &config);
  config["tie_word_embeddings"] = shape.tie_word_embeddings;
  config["bos_token_id"] =
      shape.bos_token_id >= 0 ? OrderedJson(shape.bos_token_id) : OrderedJson(nullptr);
  const auto& eos = shape.eos_token_ids;
  config["eos_token_id"] = eos.empty()       ? OrderedJson(nullptr)
                           : eos.size() == 1 ? OrderedJson(eos[0])
                                             : OrderedJson(eos);
  config["use_cache"] = true;
  // Releases before 4.56 read the first name, later ones the second.
  config["torch_dtype"] = dtype;
  config["dtype"] = dtype;
  return config.dump(2) + "\n";
}

void write_hf_config(const std::string& dir, const ModelShape& shape, const std::string& dtype) {
  write_text_file(dir + "/config.json", hf_config_to_json(shape, dtype));
}

}  // namespace lococo
