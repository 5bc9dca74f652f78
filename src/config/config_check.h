// Combinations of config values that cannot work.
#pragma once

#include "config/config_read.h"

namespace lococo {

/// Throws UserError for the first combination of values that cannot work.
void check_config(const Config& config, const ConfigOrigins& origins);

}  // namespace lococo
