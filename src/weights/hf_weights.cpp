#include "weights/hf_weights.h"

#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>

#include "core/error.h"
#include "core/files.h"
#include "core/hf_config.h"
#include "core/json_file.h"
#include "core/log.h"
#include "core/progress_count.h"
#include "model/parameter_kind.h"
#include "tensor/kit/torch.h"
#include "weights/tensor_check.h"

namespace lococo {
namespace {

namespace fs = std::filesystem;

constexpr const char* kSingleFile = "model.safetensors";
constexpr const char* kIndexFile = "model.safetensors.index.json";

/// Tensor name -> shard, as the index says.
std::map<std::string, std::string> read_index(const std::string& path) {
  const nlohmann::json index = read_json_object(path);
  if (!index.contains("weight_map") || !index["weight_map"].is_object() ||
      index["weight_map"].empty()) {
    throw UserError(path + ": is not an index with a weight_map; download the file again");
  }
  std::map<std::string, std::string> shards;
  for (const auto& [name, shard] : index["weight_map"].items()) {
    const bool is_name = shard.is_string() && !shard.get_ref<const std::string&>().empty() &&
                         shard.get_ref<const std::string&>().find('/') == std::string::npos;
    if (!is_name) throw UserError(path + ": the shard of " + name + " is not a file name");
    shards[name] = shard.get<std::string>();
  }
  return shards;
}

void add_file(const std::string& path, HfTensors* tensors) {
  tensors->files.emplace_back(path);
  for (const auto& [name, view] : tensors->files.back().tensors()) {
    if (!tensors->views.emplace(name, view).second) {
      throw UserError(path + ": tensor " + name + " stands in another shard too");
    }
  }
}

HfTensors open_shards(const std::string& dir) {
  const std::string index_path = dir + "/" + kIndexFile;
  const std::map<std::string, std::string> index = read_index(index_path);
  std::set<std::string> shards;
  for (const auto& [name, shard] : index) shards.insert(shard);
  HfTensors tensors;
  for (const std::string& shard : shards) {
    if (!path_exists(dir + "/" + shard)) {
      throw UserError(dir + "/" + shard + ": this shard is missing, though " + kIndexFile +
                      " names it; download it again");
    }
    add_file(dir + "/" + shard, &tensors);
  }
  for (const auto& [name, shard] : index) {
    if (tensors.views.count(name) == 0) {
      throw UserError(index_path + ": names tensor " + name + " in " + shard +
                      ", which does not hold it; download the folder again");
    }
  }
  return tensors;
}

[[noreturn]] void throw_no_weights(const std::string& dir) {
  for (const auto& entry : fs::directory_iterator(dir)) {
    const std::string name = entry.path().filename().string();
    if (name.rfind("pytorch_model", 0) == 0 && name.ends_with(".bin")) {
      throw UserError(dir + ": holds pytorch_model.bin and no safetensors; convert it in Python: " +
                      "AutoModelForCausalLM.from_pretrained(\"" + dir +
                      "\", dtype=\"auto\").save_pretrained(NEW_FOLDER)");
    }
  }
  throw UserError(dir + ": holds neither " + kSingleFile + " nor " + kIndexFile +
                  "; model.path needs a Hugging Face folder with safetensors");
}

bool same_values(const TensorView& a, const TensorView& b) {
  if (a.dtype != b.dtype || a.shape != b.shape) return false;
  // Equal bytes first: what is not a number does not even equal itself.
  return std::memcmp(a.data, b.data, a.num_bytes) == 0 ||
         torch::equal(copy_tensor(a), copy_tensor(b));
}

/// Takes out what old checkpoints hold besides weights, and a tied head that repeats the embedding.
void drop_redundant(const std::string& dir, bool tied, std::map<std::string, TensorView>* views) {
  const size_t buffers = std::erase_if(
      *views, [](const auto& item) { return item.first.ends_with("rotary_emb.inv_freq"); });
  if (buffers > 0) {
    log_info(dir + ": skipped " + std::to_string(buffers) +
             " rotary_emb.inv_freq buffers; the angles come from config.json");
  }
  const auto head = views->find(kHeadName);
  const auto embedding = views->find(kEmbeddingName);
  if (!tied || head == views->end() || embedding == views->end()) return;
  if (!same_values(head->second, embedding->second)) {
    throw UserError(dir +
                    ": config.json ties the word embeddings, but lm_head.weight differs from " +
                    kEmbeddingName + "; set tie_word_embeddings to false in its config.json");
  }
  views->erase(head);
}

/// The tensors of DIR, which are those of `parameters` in name and shape. A part of a model leaves
/// out those of the others.
HfTensors open_matching(const TensorMap& parameters, bool tied, const LayerRange& part,
                        const std::string& dir) {
  HfTensors tensors = open_hf_tensors(dir);
  drop_redundant(dir, tied, &tensors.views);
  std::erase_if(tensors.views, [&](const auto& item) { return part.is_elsewhere(item.first); });
  TensorCheck check;
  check.compare_all(tensors.views, parameters);
  check.throw_if_any(dir,
                     "its weights do not fit its config.json (only the LLaMA architecture is "
                     "supported)");
  return tensors;
}

/// Gives quantised layers their values, and takes their weights out of `parameters`.
void fill_quantised(Llama& model, const std::map<std::string, TensorView>& views,
                    const FileOf& file_of, TensorMap* parameters) {
  for (const auto& [name, layer] : model->quantised_layers()) {
    const auto values = borrow_tensor(views.at(name)).to(layer->device());
    refuse_non_finite({{name, values}}, file_of);  // of quantised values it could not be told
    layer->fill(values);
    parameters->erase(name);
    note_progress();
  }
}

}  // namespace

HfTensors open_hf_tensors(const std::string& dir) {
  check_model_folder(dir);
  if (path_exists(dir + "/" + kSingleFile)) {
    HfTensors tensors;
    add_file(dir + "/" + kSingleFile, &tensors);
    return tensors;
  }
  if (path_exists(dir + "/" + kIndexFile)) return open_shards(dir);
  throw_no_weights(dir);
}

TensorMap base_parameters(Llama& model) {
  TensorMap parameters;
  for (const auto& item : model->named_parameters()) {
    if (is_of_base(kind_of_parameter(item.key()))) parameters[item.key()] = item.value();
  }
  return parameters;
}

void check_hf_weights(const TensorMap& parameters, const std::string& dir) {
  open_matching(parameters, /*tied=*/parameters.count(kHeadName) == 0, LayerRange(), dir);
}

void load_hf_weights(Llama& model, const std::string& dir) {
  TensorMap parameters = base_parameters(model);
  const LayerRange& part = model->range();
  const HfTensors tensors = open_matching(parameters, part.tied, part, dir);
  const FileOf file_of = [&](const std::string& name) {
    for (const SafetensorsFile& file : tensors.files) {
      if (file.tensors().count(name) > 0) return file.path();
    }
    return dir;
  };
  fill_quantised(model, tensors.views, file_of, &parameters);
  copy_all(parameters, tensors.views, file_of);
  for (const SafetensorsFile& file : tensors.files) file.check_unchanged();
}

}  // namespace lococo
