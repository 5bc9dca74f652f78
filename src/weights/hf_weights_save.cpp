#include "weights/hf_weights_save.h"

#include <cstdio>
#include <nlohmann/json.hpp>

#include "core/files.h"
#include "core/hf_config_write.h"
#include "tensor/kit/torch.h"
#include "weights/hf_weights.h"

namespace lococo {
namespace {

/// The linear layers with LoRA, by the name of their weight.
std::map<std::string, LinearImpl*> layers_with_lora(Llama& model) {
  auto layers = model->linear_layers();
  std::erase_if(layers, [](const auto& item) { return !item.second->has_lora(); });
  return layers;
}

/// Names of each shard's tensors; a tensor larger than the limit has a shard of its own.
std::vector<std::vector<std::string>> split_into_shards(const TensorMap& parameters,
                                                        std::optional<torch::ScalarType> type,
                                                        int64_t max_shard_bytes) {
  std::vector<std::vector<std::string>> shards(1);
  int64_t used = 0;
  for (const auto& [name, parameter] : parameters) {
    const auto element = c10::elementSize(type.value_or(parameter.scalar_type()));
    const int64_t bytes = parameter.numel() * static_cast<int64_t>(element);
    if (used > 0 && used + bytes > max_shard_bytes) {
      shards.emplace_back();
      used = 0;
    }
    shards.back().push_back(name);
    used += bytes;
  }
  return shards;
}

std::string shard_name(size_t index, size_t count) {
  if (count == 1) return "model.safetensors";
  char name[64];
  std::snprintf(name, sizeof(name), "model-%05zu-of-%05zu.safetensors", index + 1, count);
  return name;
}

}  // namespace

void save_hf_model(Llama& model, const std::string& dir, std::optional<DType> dtype,
                   int64_t max_shard_bytes, HfWeightForm form) {
  const torch::NoGradGuard no_grad;
  TORCH_CHECK(!model->is_quantised(), "the weights that this model was loaded from are not in it");
  const TensorMap parameters = base_parameters(model);
  std::optional<torch::ScalarType> type;
  if (dtype) type = *dtype == DType::kBFloat16 ? torch::kBFloat16 : torch::kFloat32;
  std::map<std::string, LinearImpl*> lora;
  if (form == HfWeightForm::kMerged) lora = layers_with_lora(model);

  const auto shards = split_into_shards(parameters, type, max_shard_bytes);
  nlohmann::ordered_json weight_map = nlohmann::ordered_json::object();
  int64_t total_bytes = 0;
  for (size_t i = 0; i < shards.size(); ++i) {
    TensorMap shard;  // one shard at a time, so that no second model is in memory
    for (const std::string& name : shards[i]) {
      const torch::Tensor& own = parameters.at(name);
      const torch::Tensor value = lora.count(name) > 0 ? lora[name]->merged_weight() : own;
      shard[name] = value.to(type.value_or(own.scalar_type()));
      total_bytes += static_cast<int64_t>(shard[name].nbytes());
      weight_map[name] = shard_name(i, shards.size());
    }
    write_tensors(dir + "/" + shard_name(i, shards.size()), shard);
  }
  if (shards.size() > 1) {
    const nlohmann::ordered_json index = {{"metadata", {{"total_size", total_bytes}}},
                                          {"weight_map", weight_map}};
    write_text_file(dir + "/model.safetensors.index.json", index.dump(2) + "\n");
  }
  const auto written = type.value_or(parameters.begin()->second.scalar_type());
  write_hf_config(dir, model->shape(), written == torch::kBFloat16 ? "bfloat16" : "float32");
}

}  // namespace lococo
