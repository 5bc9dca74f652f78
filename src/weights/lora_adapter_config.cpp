#include "weights/lora_adapter_config.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "core/files.h"
#include "core/json_file.h"
#include "core/model_limits.h"
#include "core/projections.h"

namespace lococo {
namespace {

using Json = nlohmann::json;

/// Options of PEFT that change what an adapter computes and that we do not have; any value but
/// null, false, "none" and empty means that they are in use.
constexpr std::array<const char*, 19> kUnsupported = {"bias",
                                                      "use_dora",
                                                      "lora_bias",
                                                      "fan_in_fan_out",
                                                      "rank_pattern",
                                                      "alpha_pattern",
                                                      "use_qalora",
                                                      "use_bdlora",
                                                      "layers_to_transform",
                                                      "layers_pattern",
                                                      "layer_replication",
                                                      "exclude_modules",
                                                      "velora_config",
                                                      "target_parameters",
                                                      "trainable_token_indices",
                                                      "kasa_config",
                                                      "monteclora_config",
                                                      "arrow_config",
                                                      "alora_invocation_tokens"};

bool is_unset(const Json& value) {
  if (value.is_null()) return true;
  if (value.is_boolean()) return !value.get<bool>();
  if (value.is_string()) return value == "none" || value == "";
  return (value.is_array() || value.is_object()) && value.empty();
}

void refuse_unsupported(const Json& config, const std::string& path) {
  if (config.value("peft_type", Json("LORA")) != "LORA") {
    throw UserError(path + ": peft_type is " + config["peft_type"].dump() +
                    ", only LORA adapters can be read");
  }
  for (const char* key : kUnsupported) {
    if (!config.contains(key) || is_unset(config[key])) continue;
    throw UserError(path + ": " + key + " is " + config[key].dump().substr(0, 60) +
                    ", which is not supported; merge the adapter into its base with PEFT "
                    "(merge_and_unload) and use the result as model.path");
  }
  // These initialisations also changed the base weights that the adapter belongs to.
  const Json init = config.value("init_lora_weights", Json(true));
  const bool keeps_base =
      !init.is_string() || init == "gaussian" || init == "eva" || init == "orthogonal";
  if (!keeps_base) {
    throw UserError(path + ": init_lora_weights is " + init.dump() +
                    ", which changes the base weights; convert the adapter with PEFT "
                    "(path_initial_model_for_weight_conversion)");
  }
}

std::vector<std::string> read_names(const Json& config, const char* key, const std::string& path) {
  std::vector<std::string> names;
  if (!config.contains(key) || config[key].is_null()) return names;
  const Json& value = config[key];
  if (!value.is_array()) throw UserError(path + ": " + key + " is not a list of names");
  for (const Json& name : value) {
    if (!name.is_string()) throw UserError(path + ": " + key + " is not a list of names");
    names.push_back(name.get<std::string>());
  }
  return names;
}

/// The projections that target_modules names: a list, one plain name, or "all-linear".
std::vector<std::string> read_targets(const Json& config, const std::string& path) {
  const Json value = config.value("target_modules", Json());
  if (value == "all-linear") return {kProjections.begin(), kProjections.end()};
  const std::vector<std::string> names = value.is_string()
                                             ? std::vector<std::string>{value.get<std::string>()}
                                             : read_names(config, "target_modules", path);
  std::vector<std::string> targets;
  for (const std::string& name : names) {
    // "self_attn.q_proj" means every layer's q_proj; "layers.0..." would mean only some layers.
    const std::string last = name.substr(name.rfind('.') + 1);
    if (!is_projection(last) || name.find("layers.") != std::string::npos) {
      throw UserError(path + ": target_modules names \"" + name +
                      "\"; only names of projections for all layers are supported (" +
                      projections_text() + "), no patterns");
    }
    if (std::find(targets.begin(), targets.end(), last) == targets.end()) targets.push_back(last);
  }
  std::sort(targets.begin(), targets.end());
  return targets;
}

}  // namespace

double AdapterConfig::plain_alpha() const {
  return rank_stabilized ? alpha * std::sqrt(static_cast<double>(rank)) : alpha;
}

bool has_adapter(const std::string& dir) { return path_exists(dir + "/adapter_config.json"); }

AdapterConfig read_adapter_config(const std::string& dir) {
  const std::string path = dir + "/adapter_config.json";
  const Json config = read_json_object(path);
  refuse_unsupported(config, path);
  AdapterConfig adapter;
  adapter.targets = read_targets(config, path);
  adapter.modules_to_save = read_names(config, "modules_to_save", path);
  if (adapter.targets.empty()) return adapter;
  const Json rank = config.value("r", Json());
  const Json alpha = config.value("lora_alpha", Json());
  if (!rank.is_number_integer() || rank.get<int64_t>() < 1 || rank.get<int64_t>() > kMostLoraRank) {
    throw UserError(path + ": r is not a whole number from 1 to " + std::to_string(kMostLoraRank));
  }
  if (!alpha.is_number() || !(alpha.get<double>() > 0.0) || alpha.get<double>() > kMostLoraAlpha) {
    throw UserError(path + ": lora_alpha is not a positive number of at most 1e12");
  }
  adapter.rank = rank.get<int64_t>();
  adapter.alpha = alpha.get<double>();
  adapter.rank_stabilized = !is_unset(config.value("use_rslora", Json(false)));
  return adapter;
}

}  // namespace lococo
