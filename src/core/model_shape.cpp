#include "core/model_shape.h"

#include <algorithm>
#include <cmath>

#include "core/model_limits.h"

namespace lococo {

std::string rope_problem(const RopeScaling& rope) {
  constexpr double kLargest = 1e9;  // of every factor; beyond it float32 angles mean nothing
  if (rope.type == RopeType::kDefault) return "";
  if (!(rope.factor >= 1.0 && rope.factor <= kLargest)) {
    return "rope_scaling: the factor must be at least 1 and at most 1e9";
  }
  if (rope.original_max_position_embeddings < 0 ||
      rope.original_max_position_embeddings > kMostPositions) {
    return "rope_scaling: original_max_position_embeddings must be from 0 to 2^31";
  }
  if (rope.type == RopeType::kLlama3 && !(rope.low_freq_factor > 0.0)) {
    return "rope_scaling: low_freq_factor must be positive";
  }
  if (rope.type == RopeType::kLlama3 &&
      !(rope.high_freq_factor > rope.low_freq_factor && rope.high_freq_factor <= kLargest)) {
    return "rope_scaling: high_freq_factor must be larger than low_freq_factor, and at most 1e9";
  }
  if (rope.type == RopeType::kYarn &&
      !(rope.beta_slow > 0.0 && rope.beta_fast > rope.beta_slow && rope.beta_fast <= kLargest)) {
    return "rope_scaling: beta_fast must be larger than beta_slow, and both positive and at most "
           "1e9";
  }
  if (rope.type == RopeType::kYarn &&
      !(rope.attention_factor >= 0.0 && rope.attention_factor <= kLargest)) {
    return "rope_scaling: attention_factor must not be negative, and at most 1e9";
  }
  return "";
}

double interpolation_factor(const ModelShape& shape, int64_t positions) {
  const bool linear = shape.rope_scaling.type == RopeType::kLinear;
  const double own = linear ? shape.rope_scaling.factor : 1.0;
  const double reach = own * static_cast<double>(shape.max_position_embeddings);
  return own * std::max(1.0, std::ceil(static_cast<double>(positions) / reach));
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

int64_t positions_of(const ModelShape& shape) {
  const RopeScaling& scaling = shape.rope_scaling;
  const int64_t given = shape.max_position_embeddings;
  const int64_t original = scaling.original_max_position_embeddings;
  const int64_t pretrained = original > 0 ? original : given;
  const auto scaled = [&](int64_t positions) {
    const double reach = scaling.factor * static_cast<double>(positions);
    return static_cast<int64_t>(std::min(reach, static_cast<double>(kMostPositions)));
  };
  switch (scaling.type) {
    case RopeType::kLinear:
      return scaled(given);
    case RopeType::kYarn:  // the factor is the ratio of both lengths
      return std::max(given, scaled(pretrained));
    case RopeType::kLlama3:  // it need not be: Llama 3.2 has 131,072 for 32 times 8,192
      return given > pretrained ? given : scaled(pretrained);
    case RopeType::kDefault:
    case RopeType::kDynamic:
      break;
  }
  return given;
}

std::string shape_problem(const ModelShape& shape) {
  struct Size {
    const char* name;
    int64_t value;
    int64_t most;
  };
  for (const Size& size :
       {Size{"vocab_size", shape.vocab_size, kMostVocab},
        Size{"hidden_size", shape.hidden_size, kMostWidth},
        Size{"intermediate_size", shape.intermediate_size, kMostWidth},
        Size{"num_hidden_layers", shape.num_layers, kMostLayers},
        Size{"num_attention_heads", shape.num_heads, kMostHeads},
        Size{"num_key_value_heads", shape.num_kv_heads, kMostHeads},
        Size{"head_dim", shape.head_dim, kMostHeadDim},
        Size{"max_position_embeddings", shape.max_position_embeddings, kMostPositions}}) {
    if (size.value >= 1 && size.value <= size.most) continue;
    return std::string(size.name) + ": must be positive, and at most " + std::to_string(size.most) +
           "; it is " + std::to_string(size.value);
  }
  if (shape.num_heads % shape.num_kv_heads != 0) {
    return "num_key_value_heads: " + std::to_string(shape.num_kv_heads) + " does not divide the " +
           std::to_string(shape.num_heads) + " attention heads";
  }
  if (shape.head_dim % 2 != 0) {
    return "head_dim: " + std::to_string(shape.head_dim) +
           " must be positive and even (hidden_size / num_attention_heads when not given)";
  }
  if (!(shape.rms_norm_eps > 0.0 && shape.rms_norm_eps < 1.0)) {
    return "rms_norm_eps: must be positive and below 1";
  }
  if (!(shape.rope_theta >= 1.0 && shape.rope_theta <= kMostRopeTheta)) {
    return "rope_theta: must be from 1 to 1e15";
  }
  return rope_problem(shape.rope_scaling);
}

}  // namespace lococo
