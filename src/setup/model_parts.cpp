#include "setup/model_parts.h"

#include <cmath>
#include <numeric>
#include <set>
#include <string>

#include "core/error.h"
#include "pipeline/layer_split.h"
#include "weights/lora_adapter_config.h"

namespace lococo {

bool trains_lora(const Config& config) { return config.tune.lora.value_or(0.0) > 0; }

LoraShape lora_shape(const Config& config) {
  const TuneConfig& tune = config.tune;
  const std::string& dir = config.model.adapter;
  AdapterConfig adapter;
  if (!dir.empty() && has_adapter(dir)) adapter = read_adapter_config(dir);
  if (adapter.targets.empty()) {
    if (!trains_lora(config)) return {};
    return {tune.lora_rank, tune.lora_targets};
  }
  if (trains_lora(config)) {
    const auto refuse = [&](const std::string& key) {
      throw UserError("tune." + key + ": differs from the LoRA of " + dir +
                      ", which goes on as it is; remove the key");
    };
    const std::set<std::string> here(tune.lora_targets.begin(), tune.lora_targets.end());
    if (tune.lora_rank != adapter.rank) refuse("lora_rank");
    if (std::abs(tune.lora_alpha - adapter.plain_alpha()) > 1e-9 * adapter.plain_alpha())
      refuse("lora_alpha");
    if (here != std::set<std::string>(adapter.targets.begin(), adapter.targets.end()))
      refuse("lora_targets");
  }
  return {adapter.rank, adapter.targets};
}

std::vector<LayerRange> stages_of(const Config& config, const ModelShape& shape) {
  const int64_t stages = config.distributed.pipeline;
  if (stages == 1) return {all_layers(shape)};
  if (stages > shape.num_layers) {
    throw UserError("distributed.pipeline: " + std::to_string(stages) +
                    " stages are more than the model's " + std::to_string(shape.num_layers) +
                    " layers; use fewer");
  }
  const bool trains_embedding =
      config.tune.embed.value_or(0.0) > 0 || config.tune.all.value_or(0.0) > 0;
  if (shape.tie_word_embeddings && trains_embedding) {
    throw UserError(
        "distributed.pipeline: this model's output layer is its embedding, which tune.embed and "
        "tune.all would train on the first stage and on the last; tune lora, norm or conv, or use "
        "distributed.pipeline=1");
  }
  const auto& layers = config.distributed.stage_layers;
  if (layers.empty())
    return split_layers(shape, stages, head_in_layers(shape, attended_tokens(config)));
  const int64_t given = std::accumulate(layers.begin(), layers.end(), int64_t{0});
  if (given != shape.num_layers) {
    throw UserError("distributed.stage_layers: are " + std::to_string(given) +
                    " together, and the model has " + std::to_string(shape.num_layers) + " layers");
  }
  return layer_ranges(shape, layers);
}

std::vector<RegisteredParameter> describe_parameters(const Config& config, const ModelShape& shape,
                                                     const LayerRange& part) {
  const auto listed = list_parameters(shape, config.cache, lora_shape(config));
  return classify_parameters(parameters_of(part, listed), config.tune, config.train.weight_decay);
}

}  // namespace lococo
