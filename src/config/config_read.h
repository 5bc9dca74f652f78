// A YAML tree -> Config: types, ranges, choices and unknown keys; and where each value came from.
#pragma once

#include <map>
#include <string>

#include "config/config.h"
#include "config/config_tree.h"

namespace lococo {

/// Where values were given, for messages.
struct ConfigOrigins {
  std::string name;                           ///< of the config file; may be empty
  std::map<std::string, std::string> places;  ///< dotted key -> place

  bool given(const std::string& key) const { return places.count(key) > 0; }

  /// "configs/x.yaml:12: cache.slots", or without a place where the key has its default.
  std::string prefix(const std::string& key) const;
};

/// Sets the members that `tree` gives. Throws UserError with the place and the key.
void read_config(const YamlNode& tree, Config* config, ConfigOrigins* origins);

/// ": unknown key, did you mean cache.slots?" for a dotted key that the schema does not have.
std::string unknown_key_message(const std::string& key);

}  // namespace lococo
