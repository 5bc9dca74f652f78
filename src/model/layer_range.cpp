#include "model/layer_range.h"

#include <charconv>

namespace lococo {
namespace {

/// N of "model.layers.N.", -1 for other names.
int64_t layer_of(const std::string& parameter) {
  static const std::string kLayers = "model.layers.";
  if (!parameter.starts_with(kLayers)) return -1;
  const char* last = parameter.data() + parameter.size();
  int64_t layer = -1;
  const auto read = std::from_chars(parameter.data() + kLayers.size(), last, layer);
  return read.ec == std::errc() && read.ptr != last && *read.ptr == '.' ? layer : -1;
}

}  // namespace

bool LayerRange::is_elsewhere(const std::string& parameter) const {
  if (parameter.starts_with("model.embed_tokens."))
    return !begins_model() && !(tied && ends_model());
  if (parameter.starts_with("model.norm.") || parameter.starts_with("lm_head."))
    return !ends_model();
  const int64_t layer = layer_of(parameter);
  return layer >= 0 && layer < all && (layer < begin || layer >= end);
}

LayerRange all_layers(const ModelShape& shape) {
  return {0, shape.num_layers, shape.num_layers, shape.tie_word_embeddings};
}

}  // namespace lococo
