// The YAML map that says how positions are scaled.
#pragma once

#include <string>

#include "config/config_tree.h"
#include "core/model_shape.h"

namespace lococo {

/// {type, factor, ...} with the parameters of its type and no others; ranges are for rope_problem()
/// to check. Throws UserError beginning with `where`.
RopeScaling read_rope_scaling(const YamlNode& node, const std::string& where);

}  // namespace lococo
