// Figures in JSON.
#pragma once

#include <cmath>
#include <nlohmann/json.hpp>

namespace lococo {

/// JSON has no NaN: a mean over nothing is null.
inline nlohmann::ordered_json json_number(double value) {
  return std::isfinite(value) ? nlohmann::ordered_json(value) : nlohmann::ordered_json(nullptr);
}

}  // namespace lococo
