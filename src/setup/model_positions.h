// The shape of a run's model, and which positions it knows.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "config/config.h"

namespace lococo {

/// The base as its own config.json, or model.init, describes it. Throws UserError when no model is
/// given.
ModelShape base_shape(const Config& config);

/// The shape of model.path's config.json, or model.init, with model.rope_scaling in place of its
/// own where given, or model.interpolate_to on top of it. With unrotated cache keys positions never
/// exceed slots + block and nothing needs scaling for length: both are then left out, and the base
/// keeps its own, with which its weights were trained. Throws UserError when no model is given, and
/// for model.interpolate_to on a base whose own scaling is not linear.
ModelShape effective_shape(const Config& config);

/// One line: which RoPE scaling effective_shape() has, and why.
std::string describe_rope(const Config& config);

/// Tokens that full attention of the model reads at positions it was made for; nullopt where its
/// angles are scaled for longer texts (model.rope_scaling, dynamic scaling), so that none is known.
std::optional<int64_t> known_positions(const Config& config, const ModelShape& shape);

/// Whether no position grows with the text: a cache with unrotated keys that stand at their slots,
/// or at places of the text under a cap (then prepare_model() warns where the cap is too large).
bool has_bounded_positions(const Config& config);

/// Logs a warning when `tokens` tokens are more than known_positions() and positions grow with
/// them. `what` names the option that asks for them.
void warn_beyond_positions(const Config& config, const ModelShape& shape, int64_t tokens,
                           const std::string& what);

}  // namespace lococo
