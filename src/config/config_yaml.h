// Strict YAML <-> Config. Unknown keys, wrong types, values out of range and impossible
// combinations stop with one line.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "config/config.h"
#include "config/config_read.h"

namespace lococo {

/// Called between reading and checking: may set what the files that the config names decide and the
/// config leaves open (ConfigOrigins tells which keys were given).
using ConfigCompletion = std::function<void(Config*, ConfigOrigins*)>;

/// Reads `path` (empty: only defaults), applies `overrides` ("cache.slots=128", the value parsed as
/// YAML; of a key that holds text, the text after the first '=' as it is, quotes included), checks
/// every value and every combination. Throws UserError("configs/x.yaml:12: cache.slot: unknown key,
/// did you mean cache.slots?").
Config load_config(const std::string& path, const std::vector<std::string>& overrides,
                   const ConfigCompletion& complete = nullptr);

/// The same from a string; `name` stands in for the path in messages.
Config parse_config(const std::string& yaml, const std::string& name,
                    const std::vector<std::string>& overrides = {},
                    const ConfigCompletion& complete = nullptr);

/// The same without the checks of combinations: of a config that an older version has checked, and
/// may have allowed what this one refuses.
Config parse_old_config(const std::string& yaml, const std::string& name);

}  // namespace lococo
