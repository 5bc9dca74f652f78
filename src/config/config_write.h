// Config -> YAML, and what the config schema says of itself.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "config/config.h"

namespace lococo {

/// Every key with its effective value, as YAML that load_config reads back to the same Config.
std::string config_to_yaml(const Config& config);

/// (key, effective value as YAML text) of every key, in the order of the schema.
std::vector<std::pair<std::string, std::string>> config_value_texts(const Config& config);

/// Every key with its default, choices and meaning: the text of configs/reference.yaml.
std::string reference_config();

/// All dotted keys of the schema in order, e.g. "cache.slots"; the reference config is tested
/// against it.
std::vector<std::string> config_keys();

}  // namespace lococo
