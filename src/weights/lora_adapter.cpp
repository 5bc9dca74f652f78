#include "weights/lora_adapter.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <set>

#include "core/error.h"
#include "core/files.h"
#include "model/parameter_kind.h"
#include "tensor/kit/torch.h"
#include "weights/fingerprint.h"
#include "weights/hf_weights.h"
#include "weights/lora_adapter_config.h"
#include "weights/tensor_check.h"

namespace lococo {
namespace {

constexpr const char* kPrefix = "base_model.model.";

std::string adapter_path(const std::string& dir) { return dir + "/adapter_model.safetensors"; }

SafetensorsFile open_adapter(const std::string& dir) {
  if (!path_exists(adapter_path(dir)) && path_exists(dir + "/adapter_model.bin")) {
    throw UserError(dir +
                    ": holds adapter_model.bin and no safetensors; load it with PEFT and "
                    "save_pretrained() it to a new folder (with LongLoRA's trainable_params.bin: "
                    "scripts/convert_longlora.py)");
  }
  return SafetensorsFile(adapter_path(dir));
}

void remove_part(std::string* name, const std::string& part, const std::string& replacement) {
  const size_t at = name->find(part);
  if (at != std::string::npos) name->replace(at, part.size(), replacement);
}

/// A PEFT tensor name as the model registers it: without prefix, adapter name and wrapper.
std::string registered_name(std::string name) {
  if (name.rfind(kPrefix, 0) == 0) name.erase(0, std::string(kPrefix).size());
  remove_part(&name, ".modules_to_save.default.", ".");
  remove_part(&name, ".lora_A.default.", ".lora_A.");
  remove_part(&name, ".lora_B.default.", ".lora_B.");
  return name;
}

bool is_lora(const std::string& name) { return kind_of_parameter(name) == ParameterKind::kLora; }

struct ModelLora {
  TensorMap factors;  ///< by registered name
  std::set<std::string> targets;
  int64_t rank = 0;
  double scale = 0.0;
};

ModelLora lora_of(Llama& model) {
  ModelLora lora;
  for (const auto& item : model->named_modules("", /*include_self=*/false)) {
    auto* linear = dynamic_cast<LinearImpl*>(item.value().get());
    if (linear == nullptr || !linear->has_lora()) continue;
    const std::string name = item.key();
    lora.factors[name + ".lora_A.weight"] = linear->lora_A->weight;
    lora.factors[name + ".lora_B.weight"] = linear->lora_B->weight;
    lora.targets.insert(name.substr(name.rfind('.') + 1));
    lora.rank = linear->lora_A->weight.size(0);
    lora.scale = linear->lora_scale();
  }
  return lora;
}

std::string join(const std::set<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : ", ") + name;
  return text.empty() ? "none" : text;
}

/// scale * rank without the rounding of a division and a product.
double alpha_of(const ModelLora& lora) {
  const double alpha = lora.scale * static_cast<double>(lora.rank);
  return std::abs(alpha - std::round(alpha)) < 1e-9 ? std::round(alpha) : alpha;
}

/// Adds the adapter's LoRA to a model without, or makes sure that the model's is the same.
ModelLora prepare_lora(Llama& model, const AdapterConfig& config, const std::string& dir) {
  ModelLora lora = lora_of(model);
  if (config.targets.empty()) {
    if (lora.factors.empty()) return lora;
    throw UserError(dir + ": the adapter has no LoRA, but the model has (tune.lora)");
  }
  if (lora.factors.empty()) {
    model->add_lora(config.rank, config.plain_alpha(), config.targets, /*seed=*/0);
    return lora_of(model);
  }
  const std::set<std::string> targets(config.targets.begin(), config.targets.end());
  const double scale = config.plain_alpha() / static_cast<double>(config.rank);
  if (lora.rank != config.rank) {
    throw UserError(dir + ": the adapter's LoRA rank is " + std::to_string(config.rank) +
                    ", the model's is " + std::to_string(lora.rank) + "; set tune.lora_rank");
  }
  if (std::abs(lora.scale - scale) > 1e-9 * std::abs(scale)) {
    throw UserError(dir + ": the adapter's LoRA scale (alpha / rank) is " + std::to_string(scale) +
                    ", the model's is " + std::to_string(lora.scale) + "; set tune.lora_alpha");
  }
  if (lora.targets != targets) {
    throw UserError(dir + ": the adapter's LoRA is on " + join(targets) + ", the model's on " +
                    join(lora.targets) + "; set tune.lora_targets");
  }
  return lora;
}

/// The file's views under registered names, those of other parts of a model left out; of tied
/// models the head's copy of the embedding is dropped.
std::map<std::string, TensorView> views_of(const SafetensorsFile& file, bool tied,
                                           const LayerRange& part) {
  std::map<std::string, TensorView> views;
  for (const auto& [name, view] : file.tensors()) {
    if (!views.emplace(registered_name(name), view).second) {
      throw UserError(file.path() + ": holds " + registered_name(name) + " twice under two names");
    }
  }
  const auto leave_out_others = [&] {
    std::erase_if(views, [&](const auto& item) { return part.is_elsewhere(item.first); });
  };
  if (!tied || views.count(kHeadName) == 0) {
    leave_out_others();
    return views;
  }
  const bool equal =
      views.count(kEmbeddingName) > 0 &&
      torch::equal(copy_tensor(views[kHeadName]), copy_tensor(views[kEmbeddingName]));
  if (!equal) {
    throw UserError(file.path() +
                    ": holds an output layer (lm_head) of its own, but the base ties "
                    "it to the embedding; untie the base first");
  }
  views.erase(kHeadName);
  leave_out_others();
  return views;
}

/// Checks everything before anything is changed; returns the parameters that the views fill.
TensorMap match(const std::map<std::string, TensorView>& views, const TensorMap& factors,
                const TensorMap& base, const AdapterConfig& config, const std::string& dir) {
  TensorMap matched;
  TensorCheck check;
  for (const auto& [name, view] : views) {
    const auto& candidates = is_lora(name) ? factors : base;
    const auto found = candidates.find(name);
    if (found == candidates.end()) {
      check.unknown(name);
    } else if (check.compare(name, view, found->second)) {
      matched[name] = found->second;
    }
  }
  const std::set<std::string> whole(config.modules_to_save.begin(), config.modules_to_save.end());
  for (const auto& [name, factor] : factors) {
    if (views.count(name) == 0) check.missing(name);
  }
  for (const auto& [name, parameter] : base) {
    if (whole.count(std::string(module_of_parameter(name))) > 0 && views.count(name) == 0)
      check.missing(name);
  }
  check.throw_if_any(dir, "the adapter belongs to another model");
  return matched;
}

/// What an adapter replaces has to go into checkpoints too, where a quantised matrix does not fit.
void refuse_quantised(const TensorMap& matched, Llama& model, const std::string& dir) {
  const auto& layers = model->quantised_layers();
  for (const auto& [name, parameter] : matched) {
    if (layers.count(name) == 0) continue;
    throw UserError(dir + ": replaces " + name +
                    ", which model.base_precision quantises; write a merged model of it "
                    "(lococo-export) and give that as model.path");
  }
}

/// adapter_config.json. The names are those of PEFT's LoraConfig.
std::string config_text(const ModelLora& lora, const std::set<std::string>& modules_to_save,
                        const std::string& base_path) {
  // A rank without targets would mean nothing; PEFT wants a positive number all the same.
  const int64_t rank = std::max<int64_t>(lora.rank, 1);
  nlohmann::ordered_json config = {{"peft_type", "LORA"},
                                   {"task_type", "CAUSAL_LM"},
                                   {"base_model_name_or_path", nullptr},
                                   {"r", rank},
                                   {"lora_alpha", alpha_of(lora)},
                                   {"lora_dropout", 0.0},
                                   {"target_modules", lora.targets},
                                   {"modules_to_save", nullptr},
                                   {"bias", "none"},
                                   {"fan_in_fan_out", false},
                                   {"inference_mode", true},
                                   {"init_lora_weights", true},
                                   {"use_rslora", false},
                                   {"use_dora", false},
                                   {"rank_pattern", nlohmann::ordered_json::object()},
                                   {"alpha_pattern", nlohmann::ordered_json::object()}};
  if (!base_path.empty()) config["base_model_name_or_path"] = base_path;
  if (!modules_to_save.empty()) config["modules_to_save"] = modules_to_save;
  return config.dump(2) + "\n";
}

}  // namespace

void save_adapter(Llama& model, const std::string& dir, const std::vector<std::string>& saved_whole,
                  const AdapterOrigin& origin) {
  const ModelLora lora = lora_of(model);
  const TensorMap base = base_parameters(model);
  TensorMap tensors;
  std::set<std::string> modules;
  for (const auto& [name, factor] : lora.factors) tensors[kPrefix + name] = factor;
  const bool tied = model->shape().tie_word_embeddings;
  for (const std::string& name : saved_whole) {
    if (tied && name == kHeadName) continue;  // written with the embedding
    TORCH_CHECK(base.count(name) > 0, "no base tensor is named ", name);
    tensors[kPrefix + name] = base.at(name);
    modules.insert(std::string(module_of_parameter(name)));
    if (name == kEmbeddingName && tied) {
      tensors[std::string(kPrefix) + kHeadName] = base.at(name);
      modules.insert("lm_head");
    }
  }
  std::map<std::string, std::string> metadata = {{"format", "pt"}};
  if (!origin.base_fingerprint.empty()) metadata[kBaseFingerprintKey] = origin.base_fingerprint;
  write_tensors(adapter_path(dir), tensors, metadata);
  write_text_file(dir + "/adapter_config.json", config_text(lora, modules, origin.base_path));
}

bool has_lora(Llama& model) { return !lora_of(model).factors.empty(); }

void load_adapter(Llama& model, const std::string& dir) {
  const AdapterConfig config = read_adapter_config(dir);
  const SafetensorsFile file = open_adapter(dir);
  const auto views = views_of(file, model->shape().tie_word_embeddings, model->range());
  const ModelLora lora = prepare_lora(model, config, dir);
  const auto matched = match(views, lora.factors, base_parameters(model), config, dir);
  refuse_quantised(matched, model, dir);
  copy_all(matched, views, [&](const std::string&) { return file.path(); });
  file.check_unchanged();
}

void check_adapter(const TensorMap& parameters, const std::string& dir) {
  TensorMap factors, base;
  for (const auto& [name, parameter] : parameters) {
    const ParameterKind kind = kind_of_parameter(name);
    if (kind == ParameterKind::kLora) factors[name] = parameter;
    if (is_of_base(kind)) base[name] = parameter;
  }
  const SafetensorsFile file = open_adapter(dir);
  const auto views = views_of(file, /*tied=*/base.count(kHeadName) == 0, LayerRange());
  match(views, factors, base, read_adapter_config(dir), dir);
}

std::vector<std::string> whole_tensors_of_adapter(const std::string& dir) {
  const SafetensorsFile file = open_adapter(dir);
  std::vector<std::string> names;
  for (const auto& [name, view] : file.tensors()) {
    const std::string plain = registered_name(name);
    if (!is_lora(plain)) names.push_back(plain);
  }
  return names;
}

std::string base_fingerprint_of_adapter(const std::string& dir) {
  const SafetensorsFile file = open_adapter(dir);
  const auto found = file.metadata().find(kBaseFingerprintKey);
  return found == file.metadata().end() ? "" : found->second;
}

}  // namespace lococo
