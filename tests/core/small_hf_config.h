// A small config.json and what it becomes.
#pragma once

#include <nlohmann/json.hpp>

#include "core/hf_config.h"
#include "tests/support/catch.h"

namespace lococo::testing {

inline nlohmann::json small_config() {
  return {{"architectures", {"LlamaForCausalLM"}},
          {"model_type", "llama"},
          {"vocab_size", 97},
          {"hidden_size", 64},
          {"intermediate_size", 176},
          {"num_hidden_layers", 2},
          {"num_attention_heads", 4},
          {"max_position_embeddings", 256},
          {"rms_norm_eps", 1e-5}};
}

inline ModelShape parse(const nlohmann::json& json) {
  return parse_hf_config(json.dump(), "m/config.json");
}

inline void check_same(const ModelShape& a, const ModelShape& b) {
  CHECK(a.vocab_size == b.vocab_size);
  CHECK(a.hidden_size == b.hidden_size);
  CHECK(a.intermediate_size == b.intermediate_size);
  CHECK(a.num_layers == b.num_layers);
  CHECK(a.num_heads == b.num_heads);
  CHECK(a.num_kv_heads == b.num_kv_heads);
  CHECK(a.head_dim == b.head_dim);
  CHECK(a.max_position_embeddings == b.max_position_embeddings);
  CHECK(a.rms_norm_eps == b.rms_norm_eps);
  CHECK(a.rope_theta == b.rope_theta);
  CHECK(a.rope_scaling.type == b.rope_scaling.type);
  CHECK(a.rope_scaling.factor == b.rope_scaling.factor);
  CHECK(a.rope_scaling.low_freq_factor == b.rope_scaling.low_freq_factor);
  CHECK(a.rope_scaling.high_freq_factor == b.rope_scaling.high_freq_factor);
  CHECK(a.rope_scaling.beta_fast == b.rope_scaling.beta_fast);
  CHECK(a.rope_scaling.beta_slow == b.rope_scaling.beta_slow);
  CHECK(a.rope_scaling.attention_factor == b.rope_scaling.attention_factor);
  CHECK(a.tie_word_embeddings == b.tie_word_embeddings);
  CHECK(a.bos_token_id == b.bos_token_id);
  CHECK(a.eos_token_ids == b.eos_token_ids);
}

}  // namespace lococo::testing
