#include "core/model_shape.h"

namespace lococo {

std::string rope_problem(const RopeScaling& rope) {
  if (rope.type == RopeType::kDefault) return "";
  if (!(rope.factor >= 1.0)) return "rope_scaling: the factor must be at least 1";
  if (rope.original_max_position_embeddings < 0) {
    return "rope_scaling: original_max_position_embeddings must not be negative";
  }
  if (rope.type == RopeType::kLlama3 && !(rope.low_freq_factor > 0.0)) {
    return "rope_scaling: low_freq_factor must be positive";
  }
  if (rope.type == RopeType::kLlama3 && !(rope.high_freq_factor > rope.low_freq_factor)) {
    return "rope_scaling: high_freq_factor must be larger than low_freq_factor";
  }
  if (rope.type == RopeType::kYarn && !(rope.beta_slow > 0.0 && rope.beta_fast > rope.beta_slow)) {
    return "rope_scaling: beta_fast must be larger than beta_slow, and both positive";
  }
  if (rope.type == RopeType::kYarn && !(rope.attention_factor >= 0.0)) {
    return "rope_scaling: attention_factor must not be negative";
  }
  return "";
}

const char* name_of(RopeType type) {
  switch (type) {
    case RopeType::kDefault:
      return "default";
    case RopeType::kLinear:
      return "linear";
    case RopeType::kDynamic:
      return "dynamic";
    case RopeType::kYarn:
      return "yarn";
    case RopeType::kLlama3:
      return "llama3";
  }
  return "default";
}

std::string shape_problem(const ModelShape& shape) {
  constexpr int64_t kLargest = int64_t{1} << 31;  // far above any model, far below an overflow
  const auto out_of_range = [&](int64_t value) { return value <= 0 || value > kLargest; };
  if (out_of_range(shape.vocab_size)) return "vocab_size: must be positive";
  if (out_of_range(shape.hidden_size)) return "hidden_size: must be positive";
  if (out_of_range(shape.intermediate_size)) return "intermediate_size: must be positive";
  if (out_of_range(shape.num_layers)) return "num_hidden_layers: must be positive";
  if (out_of_range(shape.num_heads)) return "num_attention_heads: must be positive";
  if (out_of_range(shape.num_kv_heads)) return "num_key_value_heads: must be positive";
  if (shape.num_heads % shape.num_kv_heads != 0) {
    return "num_key_value_heads: " + std::to_string(shape.num_kv_heads) + " does not divide the " +
           std::to_string(shape.num_heads) + " attention heads";
  }
  if (out_of_range(shape.head_dim) || shape.head_dim % 2 != 0) {
    return "head_dim: " + std::to_string(shape.head_dim) +
           " must be positive and even (hidden_size / num_attention_heads when not given)";
  }
  if (out_of_range(shape.max_position_embeddings)) {
    return "max_position_embeddings: must be positive";
  }
  if (!(shape.rms_norm_eps > 0.0)) return "rms_norm_eps: must be positive";
  if (!(shape.rope_theta > 0.0)) return "rope_theta: must be positive";
  return rope_problem(shape.rope_scaling);
}

}  // namespace lococo
