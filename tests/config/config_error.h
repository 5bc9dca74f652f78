// What a config is refused with.
#pragma once

#include <string>
#include <vector>

#include "config/config_yaml.h"
#include "tests/support/user_error.h"

namespace lococo::testing {

/// The error of a YAML text, as the file x.yaml, under these overrides.
inline std::string error_of(const std::string& yaml,
                            const std::vector<std::string>& overrides = {}) {
  return user_error_of([&] { parse_config(yaml, "x.yaml", overrides); });
}

}  // namespace lococo::testing
