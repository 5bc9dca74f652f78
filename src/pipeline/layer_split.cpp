#include "pipeline/layer_split.h"

#include <algorithm>

#include "core/formatted.h"

namespace lococo {

double attended_tokens(const Config& config) {
  const CacheConfig& cache = config.cache;
  if (is_blockwise(config)) return static_cast<double>(cache.slots + cache.block);
  const AttentionConfig& attention = config.attention;
  const int64_t T = config.data.context_length;
  if (attention.pattern == PatternKind::kFull) return static_cast<double>(T) / 2;
  return static_cast<double>(attention.group(T)) / 2 + static_cast<double>(attention.sink_tokens());
}

double head_in_layers(const ModelShape& shape, double attended) {
  const auto E = static_cast<double>(shape.hidden_size);
  const auto queries = static_cast<double>(shape.num_heads * shape.head_dim);
  const auto keys = static_cast<double>(shape.num_kv_heads * shape.head_dim);
  const double projections =
      E * (2 * queries + 2 * keys + 3 * static_cast<double>(shape.intermediate_size));
  return E * static_cast<double>(shape.vocab_size) / (projections + 2 * queries * attended);
}

std::vector<LayerRange> split_layers(const ModelShape& shape, int64_t stages, double head) {
  // Layers are alike: each goes where the least is to do, the earlier stage where that is equal.
  std::vector<int64_t> layers(static_cast<size_t>(stages), 1);
  const auto load = [&](size_t stage) {
    return static_cast<double>(layers[stage]) + (stage + 1 == layers.size() ? head : 0.0);
  };
  for (int64_t placed = stages; placed < shape.num_layers; ++placed) {
    size_t least = 0;
    for (size_t stage = 1; stage < layers.size(); ++stage)
      if (load(stage) < load(least)) least = stage;
    ++layers[least];
  }
  return layer_ranges(shape, layers);
}

std::vector<LayerRange> layer_ranges(const ModelShape& shape, const std::vector<int64_t>& layers) {
  std::vector<LayerRange> parts;
  LayerRange part = all_layers(shape);
  part.end = 0;
  for (const int64_t count : layers) {
    part.begin = part.end;
    part.end += count;
    parts.push_back(part);
  }
  return parts;
}

std::string describe_split(const std::vector<LayerRange>& parts, double head) {
  std::string text = "layers ";
  for (const LayerRange& part : parts) {
    text += (part.begin == 0 ? "" : ", ") + std::to_string(part.begin);
    if (part.count() > 1) text += " to " + std::to_string(part.end - 1);
  }
  return text + formatted(" (the output layer counts as %.2f)", head);
}

}  // namespace lococo
