#include "model/parameter_list.h"

#include <algorithm>

#include "tensor/kit/torch.h"

namespace lococo {
namespace {

class Lister {
 public:
  Lister(const ModelShape& shape, const CacheConfig& cache, const LoraShape& lora)
      : shape_(shape), cache_(cache), lora_(lora) {}

  NamedTensors list() {
    const int64_t E = shape_.hidden_size, V = shape_.vocab_size;
    add("model.embed_tokens.weight", {V, E});
    for (int64_t n = 0; n < shape_.num_layers; ++n)
      add_layer("model.layers." + std::to_string(n) + ".");
    add("model.norm.weight", {E});
    if (!shape_.tie_word_embeddings) add("lm_head.weight", {V, E});
    return std::move(parameters_);
  }

 private:
  void add(const std::string& name, const std::vector<int64_t>& sizes) {
    parameters_.emplace_back(
        name, torch::empty(sizes, torch::dtype(torch::kFloat32).device(torch::kMeta)));
  }

  void add_projection(const std::string& path, const std::string& name, int64_t in, int64_t out) {
    add(path + name + ".weight", {out, in});
    const auto& targets = lora_.targets;
    if (lora_.rank == 0 || std::find(targets.begin(), targets.end(), name) == targets.end()) return;
    add(path + name + ".lora_A.weight", {lora_.rank, in});
    add(path + name + ".lora_B.weight", {out, lora_.rank});
  }

  void add_gate(const std::string& path) {
    const int64_t E = shape_.hidden_size, G = shape_.num_kv_heads, U = cache_.retention_units;
    add(path + "hidden_weight", {U, E});
    add(path + "hidden_bias", {U});
    add(path + "out_weight", {G, U});
    add(path + "skip_weight", {G, E});
    add(path + "out_bias", {G});
    add(path + "mass_weight", {G});
  }

  /// Those of ConvMemory, RetentionPolicy or ConvRetention; no other policy learns.
  void add_policy(const std::string& path) {
    if (cache_.has_convs())
      add(path + "normalizer", {cache_.normalizer_per_head ? shape_.num_kv_heads : 1});
    if (cache_.has_retention()) add_gate(path + "retention.");
    if (!cache_.has_convs()) return;
    const int64_t R = cache_.mixed_slots(), hidden = R * cache_.expand,
                  last = cache_.conv_layers - 1;
    for (int64_t i = 0; i <= last; ++i) {
      const int64_t seen = 2 * shape_.head_dim + (cache_.mass_channel ? 1 : 0);
      const std::string conv = path + "layers." + std::to_string(2 * i);
      add(conv + ".weight", {i == last ? R : hidden, i == 0 ? seen : hidden, cache_.kernel_size});
      add(conv + ".bias", {i == last ? R : hidden});
    }
  }

  void add_layer(const std::string& layer) {
    const int64_t E = shape_.hidden_size, F = shape_.intermediate_size, D = shape_.head_dim;
    const int64_t queries = shape_.num_heads * D, keys = shape_.num_kv_heads * D;
    add(layer + "input_layernorm.weight", {E});
    const std::string attention = layer + "self_attn.";
    add_projection(attention, "q_proj", E, queries);
    add_projection(attention, "k_proj", E, keys);
    add_projection(attention, "v_proj", E, keys);
    add_projection(attention, "o_proj", queries, E);
    add_policy(attention + "memory_saver.");
    add(layer + "post_attention_layernorm.weight", {E});
    const std::string mlp = layer + "mlp.";
    add_projection(mlp, "gate_proj", E, F);
    add_projection(mlp, "up_proj", E, F);
    add_projection(mlp, "down_proj", F, E);
  }

  const ModelShape& shape_;
  const CacheConfig& cache_;
  const LoraShape& lora_;
  NamedTensors parameters_;
};

}  // namespace

NamedTensors list_parameters(const ModelShape& shape, const CacheConfig& cache,
                             const LoraShape& lora) {
  return Lister(shape, cache, lora).list();
}

NamedTensors parameters_of(const LayerRange& range, const NamedTensors& all) {
  NamedTensors own;
  for (const auto& parameter : all)
    if (!range.is_elsewhere(parameter.first)) own.push_back(parameter);
  return own;
}

}  // namespace lococo
