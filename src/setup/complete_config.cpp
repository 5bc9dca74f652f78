#include "setup/complete_config.h"

#include <algorithm>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "config/config_yaml.h"
#include "config/position_scaling.h"
#include "core/error.h"
#include "core/files.h"
#include "core/hf_config.h"
#include "core/launcher.h"
#include "core/log.h"
#include "setup/model_positions.h"
#include "weights/cache_options.h"
#include "weights/checkpoint_files.h"
#include "weights/conv_weights.h"
#include "weights/lora_adapter_config.h"

namespace lococo {
namespace {

void take_newest_checkpoint(std::string* adapter) {
  if (is_checkpoint(*adapter) || has_adapter(*adapter) || has_conv_weights(*adapter)) return;
  const auto newest = newest_good_checkpoint(*adapter, CheckpointUse::kWeights);
  if (!newest) return;  // loading it says what is missing
  log_info("model.adapter: " + *adapter + " is a run folder; its newest good checkpoint " +
           *newest + " is taken");
  *adapter = *newest;
}

std::optional<StoredCacheOptions> options_of_adapter(const std::string& dir) {
  if (auto options = read_cache_options(dir)) return options;
  if (!is_checkpoint(dir)) return std::nullopt;
  return StoredCacheOptions{read_state(dir).cache_json, dir + "/" + kStateFile};
}

/// The names of the section's keys that were given, without the section.
std::set<std::string> given_in(const std::string& section, const ConfigOrigins& origins) {
  std::set<std::string> names;
  for (const auto& [key, place] : origins.places) {
    if (key.starts_with(section + ".")) names.insert(key.substr(section.size() + 1));
  }
  return names;
}

/// Returns what changed, as "cache.slots 128".
std::vector<std::string> take_cache_options(const std::string& dir, ConfigOrigins* origins,
                                            CacheConfig* cache) {
  std::vector<std::string> changed;
  if (const auto options = options_of_adapter(dir)) {
    auto given = given_in("cache", *origins);
    // A cap belongs to places of the text: whoever reads at slots' numbers leaves it out too.
    if (given.count("positions") > 0 && cache->positions == PositionKind::kSlot)
      given.insert("position_cap");
    changed = adopt_cache_options(options->json, options->path, given, cache);
    for (const std::string& text : changed)
      origins->places[text.substr(0, text.find(' '))] = options->path;
  }
  const bool must_be_lococo =
      has_conv_weights(dir) && !origins->given("cache.policy") && !cache->learns();
  if (must_be_lococo) {
    cache->policy = CachePolicyKind::kLococo;
    changed.push_back("cache.policy lococo");
  }
  return changed;
}

std::vector<std::string> take_lora_options(const std::string& dir, const ConfigOrigins& origins,
                                           TuneConfig* tune) {
  std::vector<std::string> changed;
  if (tune->lora.value_or(0.0) <= 0 || !has_adapter(dir)) return changed;
  const AdapterConfig adapter = read_adapter_config(dir);
  if (adapter.targets.empty()) return changed;
  if (!origins.given("tune.lora_rank") && tune->lora_rank != adapter.rank) {
    tune->lora_rank = adapter.rank;
    changed.push_back("tune.lora_rank " + std::to_string(adapter.rank));
  }
  if (!origins.given("tune.lora_alpha") && tune->lora_alpha != adapter.plain_alpha()) {
    tune->lora_alpha = adapter.plain_alpha();
    changed.push_back("tune.lora_alpha " + std::to_string(tune->lora_alpha));
  }
  const auto set_of = [](const std::vector<std::string>& names) {
    return std::set<std::string>(names.begin(), names.end());
  };
  if (!origins.given("tune.lora_targets") &&
      set_of(tune->lora_targets) != set_of(adapter.targets)) {
    tune->lora_targets = adapter.targets;
    changed.push_back("tune.lora_targets");
  }
  return changed;
}

/// What a checkpoint's own config says of its model; the defaults, with a warning, where it cannot
/// be read (another version's).
ModelConfig model_config_of(const std::string& dir) {
  const std::string path = dir + "/" + kConfigFile;
  try {
    return parse_old_config(read_text_file(path), path).model;
  } catch (const UserError& error) {
    log_warn(std::string(error.what()) +
             "; so the scaling of positions that it was tuned with is not known");
    return {};
  }
}

/// The scaling that the config.json beside an exported adapter says, as an option where that is not
/// the base's own; `here` where nothing is said.
ModelConfig model_config_of_export(const std::string& dir, const ModelConfig& here) {
  if (!has_adapter(dir) || !path_exists(dir + "/config.json")) return here;
  if (here.path.empty() || !path_exists(here.path + "/config.json")) return here;
  const RopeScaling scaling = read_hf_config(dir).rope_scaling;
  ModelConfig there;
  if (scaling != read_hf_config(here.path).rope_scaling) there.rope_scaling = scaling;
  return there;
}

/// Whether both scale positions alike, whichever way they say it.
bool scales_alike(const Config& config, const ModelConfig& there) {
  Config other = config;
  other.model.interpolate_to = there.interpolate_to;
  other.model.rope_scaling = there.rope_scaling;
  try {
    return effective_shape(other).rope_scaling == effective_shape(config).rope_scaling;
  } catch (const UserError&) {
    return true;  // what is wrong with a config's own is told where it is used
  }
}

/// The scaling of positions that an adapter was tuned with, where the config gives none and its
/// cache lets positions grow with the text.
std::vector<std::string> take_scaling(const std::string& dir, const ConfigOrigins& origins,
                                      Config* config) {
  std::vector<std::string> changed;
  const bool given = origins.given("model.interpolate_to") || origins.given("model.rope_scaling");
  ModelConfig& here = config->model;
  const ModelConfig there =
      is_checkpoint(dir) ? model_config_of(dir) : model_config_of_export(dir, here);
  if (there.interpolate_to == here.interpolate_to && there.rope_scaling == here.rope_scaling)
    return changed;
  if (given) {
    if (takes_scaling(config->cache) && !scales_alike(*config, there)) {
      log_warn(dir +
               ": was tuned with another scaling of positions than the config gives "
               "(model.interpolate_to, model.rope_scaling); leave both out to take the adapter's");
    }
    return changed;
  }
  if (!takes_scaling(config->cache)) {
    log_warn(dir +
             ": was tuned with another scaling of positions (model.interpolate_to, "
             "model.rope_scaling), which a cache of unrotated keys does not take");
    return changed;
  }
  here.interpolate_to = there.interpolate_to;
  here.rope_scaling = there.rope_scaling;
  if (here.interpolate_to > 0)
    changed.push_back("model.interpolate_to " + std::to_string(here.interpolate_to));
  if (here.rope_scaling) changed.push_back("model.rope_scaling");
  return changed;
}

void complete_from_adapter(Config* config, ConfigOrigins* origins) {
  std::string& adapter = config->model.adapter;
  if (adapter.empty() || !is_folder(adapter)) return;
  configure_log(parse_log_level(config->log.level), /*is_main_rank=*/launched_rank() == 0);
  take_newest_checkpoint(&adapter);
  auto taken = take_cache_options(adapter, origins, &config->cache);
  const auto lora = take_lora_options(adapter, *origins, &config->tune);
  taken.insert(taken.end(), lora.begin(), lora.end());
  const auto scaling = take_scaling(adapter, *origins, config);
  taken.insert(taken.end(), scaling.begin(), scaling.end());
  if (taken.empty()) return;
  std::string line = "taken from " + adapter + ", because the config does not give them:";
  for (const std::string& text : taken) line += (text == taken.front() ? " " : ", ") + text;
  log_info(line);
}

/// Positions of the text without a cap of their own reach as far as the base's positions allow.
void complete_positions(Config* config) {
  CacheConfig& cache = config->cache;
  if (cache.positions != PositionKind::kText || cache.position_cap > 0) return;
  const std::string& path = config->model.path;
  const int64_t known = positions_of(is_folder(path) ? read_hf_config(path) : config->model.init);
  const int64_t reach = cache.slots + cache.buffer + cache.block;
  cache.position_cap = std::max(reach, known - reach);
}

}  // namespace

void complete_config(Config* config, ConfigOrigins* origins) {
  complete_from_adapter(config, origins);
  complete_positions(config);
}

void complete_config_for_reading(Config* config, ConfigOrigins* origins) {
  config->tune.retention.reset();
  std::erase_if(config->given, [](const std::string& key) { return key.starts_with("teach."); });
  if (config->train.pass == PassKind::kTeach) config->train.pass = PassKind::kAuto;
  complete_config(config, origins);
}

}  // namespace lococo
