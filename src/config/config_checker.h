// What the checks of a config share: how one of them says what is wrong.
#pragma once

#include <optional>
#include <string>

#include "config/config_read.h"
#include "core/error.h"

namespace lococo {

class ConfigChecker {
 public:
  ConfigChecker(const Config& config, const ConfigOrigins& origins)
      : config_(config), origins_(origins) {}

 protected:
  /// Throws UserError: where `key` was given, and `what`, which goes on from the key.
  [[noreturn]] void fail(const std::string& key, const std::string& what) const {
    throw UserError(origins_.prefix(key) + ": " + what);
  }
  void require(bool condition, const std::string& key, const std::string& what) const {
    if (!condition) fail(key, what);
  }

  static bool trained(const std::optional<double>& rate) { return rate.value_or(0.0) > 0.0; }
  /// Whether the config trains anything.
  bool trains() const {
    const TuneConfig& tune = config_.tune;
    return trained(tune.conv) || trained(tune.normalizer) || trained(tune.lora) ||
           trained(tune.retention) || trained(tune.embed) || trained(tune.norm) ||
           trained(tune.all);
  }

  const Config& config_;
  const ConfigOrigins& origins_;
};

}  // namespace lococo
