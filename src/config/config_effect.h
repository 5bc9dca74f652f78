// Options that a user gave and that do nothing in the run they were given for.
#pragma once

#include <string>
#include <vector>

#include "config/config.h"

namespace lococo {

/// Keys of config.given that have no effect beside the others, with the reason: "cache.local,
/// cache.scores (cache.policy streaming keeps the newest tokens anyway)". A key that was given its
/// default asks for nothing and is passed over.
std::vector<std::string> options_without_effect(const Config& config);

/// The same as one line for the log; empty when every option has its effect.
std::string effect_warning(const Config& config);

}  // namespace lococo
