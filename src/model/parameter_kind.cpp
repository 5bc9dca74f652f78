#include "model/parameter_kind.h"

#include <string_view>

namespace lococo {
namespace {

/// Whether the dotted name has `part` as one of its parts, the last one excepted.
bool is_inside(const std::string& name, std::string_view part) {
  return ("." + name).find("." + std::string(part) + ".") != std::string::npos;
}

}  // namespace

std::string_view module_of_parameter(std::string_view name) {
  const std::string_view path = name.substr(0, name.rfind('.'));
  return path.substr(path.rfind('.') + 1);
}

ParameterKind kind_of_parameter(const std::string& name) {
  // The policy first: it has layers, and a normalizer that is no norm.
  if (is_inside(name, "memory_saver") && is_inside(name, "retention"))
    return ParameterKind::kRetention;
  if (is_inside(name, "memory_saver"))
    return name.ends_with(".normalizer") ? ParameterKind::kNormalizer : ParameterKind::kConv;
  if (is_inside(name, "lora_A") || is_inside(name, "lora_B")) return ParameterKind::kLora;
  const std::string_view module = module_of_parameter(name);
  if (module == "embed_tokens") return ParameterKind::kEmbedding;
  if (module == "lm_head") return ParameterKind::kHead;
  if (module.ends_with("norm")) return ParameterKind::kNorm;
  return ParameterKind::kProjection;
}

}  // namespace lococo
