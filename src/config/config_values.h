// One YAML value -> one config field.
#pragma once

#include <string>

#include "config/config_schema.h"
#include "config/config_tree.h"

namespace lococo {

/// Sets the member behind `field`. Throws UserError beginning with `where` for a wrong type or a
/// value out of range.
void read_value(const YamlNode& node, const std::string& where, const FieldValue& field);

}  // namespace lococo
