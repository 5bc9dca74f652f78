// What a parameter is, told from its registered (Hugging Face, PEFT, official LoCoCo) name.
#pragma once

#include <string>
#include <string_view>

namespace lococo {

enum class ParameterKind {
  kConv,        ///< weights and biases of a cache policy's convolutions
  kNormalizer,  ///< their share in a mixed slot
  kRetention,   ///< a gate of learned retention
  kLora,        ///< a low-rank factor
  kEmbedding,
  kNorm,        ///< the weight of an RMSNorm
  kProjection,  ///< a matrix of attention or feed-forward, and any name that is none of the others
  kHead,        ///< the output layer, where it is not the embedding
};

inline constexpr const char* kHeadName = "lm_head.weight";
inline constexpr const char* kEmbeddingName = "model.embed_tokens.weight";

ParameterKind kind_of_parameter(const std::string& name);

/// The module that a parameter belongs to: "model.layers.0.mlp.up_proj.weight" -> "up_proj".
std::string_view module_of_parameter(std::string_view name);

/// Whether the kind belongs to the cache policies (lococo.safetensors).
constexpr bool is_of_policy(ParameterKind kind) {
  return kind == ParameterKind::kConv || kind == ParameterKind::kNormalizer ||
         kind == ParameterKind::kRetention;
}

/// Whether the kind belongs to the Hugging Face model (model.safetensors).
constexpr bool is_of_base(ParameterKind kind) {
  return !is_of_policy(kind) && kind != ParameterKind::kLora;
}

/// Whether model.base_precision decides how a matrix of the kind is kept.
constexpr bool has_base_precision(ParameterKind kind) { return kind == ParameterKind::kProjection; }

}  // namespace lococo
