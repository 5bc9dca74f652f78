// The checks of section cache and of what is learned of it; config_check.h has the others.
#pragma once

#include "config/config_read.h"

namespace lococo {

/// Throws UserError for a cache that cannot work, or cannot be taught as the config says.
void check_cache_config(const Config& config, const ConfigOrigins& origins);

}  // namespace lococo
