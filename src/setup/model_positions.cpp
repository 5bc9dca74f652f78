#include "setup/model_positions.h"

#include <algorithm>
#include <sstream>

#include "config/position_scaling.h"
#include "core/error.h"
#include "core/hf_config.h"
#include "core/log.h"

namespace lococo {
namespace {

/// Angles follow the slots of a cache, not the text.
bool has_slot_positions(const Config& config) {
  return config.cache.compresses() && config.cache.keys == KeyKind::kUnrotated &&
         config.cache.positions == PositionKind::kSlot;
}

std::string scaling_text(const RopeScaling& scaling) {
  if (scaling.type == RopeType::kDefault) return "none";
  std::ostringstream text;
  text << name_of(scaling.type) << " by a factor of " << scaling.factor;
  return text.str();
}

/// model.interpolate_to on top of the base's own scaling.
RopeScaling interpolated(const ModelShape& base, int64_t positions) {
  const RopeType own = base.rope_scaling.type;
  if (own != RopeType::kDefault && own != RopeType::kLinear) {
    throw UserError(std::string("model.interpolate_to: multiplies a linear scaling, but the base "
                                "has ") +
                    name_of(own) + "; use model.rope_scaling to replace that");
  }
  RopeScaling scaling;
  scaling.factor = interpolation_factor(base, positions);
  scaling.type = scaling.factor > 1.0 ? RopeType::kLinear : RopeType::kDefault;
  return scaling;
}

bool interpolates(const Config& config) {
  return config.model.interpolate_to > 0 && takes_scaling(config.cache);
}

}  // namespace

ModelShape base_shape(const Config& config) {
  ModelShape shape = config.model.init;
  if (!config.model.path.empty()) {
    shape = read_hf_config(config.model.path);
  } else if (shape.vocab_size == 0) {
    throw UserError(
        "model.path: no model given; set it to a Hugging Face folder, or model.init to the shape "
        "of a new model");
  }
  shape.resolve_defaults();
  return shape;
}

ModelShape effective_shape(const Config& config) {
  ModelShape shape = base_shape(config);
  if (config.model.rope_scaling && takes_scaling(config.cache))
    shape.rope_scaling = *config.model.rope_scaling;
  if (interpolates(config)) shape.rope_scaling = interpolated(shape, config.model.interpolate_to);
  return shape;
}

std::string describe_rope(const Config& config) {
  const std::string own = scaling_text(base_shape(config).rope_scaling);
  const std::string base = config.model.path.empty() ? "model.init" : "the base's config.json";
  const auto& given = config.model.rope_scaling;
  const char* left_out =
      given && !takes_scaling(config.cache) ? ", so that model.rope_scaling is left out" : "";
  if (has_slot_positions(config)) {
    return "RoPE scaling: " + own + ", as " + base +
           " says; with cache.keys unrotated positions never exceed " +
           std::to_string(config.cache.slots + config.cache.block) + " (slots + block)" + left_out;
  }
  if (!takes_scaling(config.cache)) {
    return "RoPE scaling: " + own + ", as " + base +
           " says; with cache.keys unrotated positions stay within the base's" + left_out;
  }
  if (interpolates(config)) {
    return "RoPE scaling: " + scaling_text(effective_shape(config).rope_scaling) + ", for the " +
           std::to_string(config.model.interpolate_to) + " tokens of model.interpolate_to (" +
           base + ": " + own + ")";
  }
  if (!given) return "RoPE scaling: " + own + ", as " + base + " says";
  return "RoPE scaling: " + scaling_text(*given) + ", as model.rope_scaling says (" + base + ": " +
         own + ")";
}

std::optional<int64_t> known_positions(const Config& config, const ModelShape& shape) {
  const bool dynamic = shape.rope_scaling.type == RopeType::kDynamic;
  const bool scaled = config.model.rope_scaling && takes_scaling(config.cache) &&
                      config.model.rope_scaling->type != RopeType::kDefault;
  if (dynamic || scaled) return std::nullopt;
  if (interpolates(config))
    return std::max(shape.max_position_embeddings, config.model.interpolate_to);
  return positions_of(shape);
}

bool has_bounded_positions(const Config& config) {
  return has_slot_positions(config) ||
         (config.cache.turns_by_place() && config.cache.position_cap > 0);
}

void warn_beyond_positions(const Config& config, const ModelShape& shape, int64_t tokens,
                           const std::string& what) {
  const auto known = known_positions(config, shape);
  if (has_bounded_positions(config) || !known || tokens <= *known) return;
  log_warn(what + ": " + std::to_string(tokens) + " tokens are more than the " +
           std::to_string(*known) +
           " positions of the base, beyond which it fails; use a cache policy with cache.keys "
           "unrotated, "
           "or model.rope_scaling");
}

}  // namespace lococo
