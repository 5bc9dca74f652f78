// Sections of the config schema: model, data, cache and what is tuned.
#pragma once

#include "config/config_schema_builder.h"

namespace lococo {

/// The sections that describe a model and what is done with it, in the order of the reference
/// config; `model` takes model.init along.
void add_model_sections(SchemaBuilder& add, Config& config);

}  // namespace lococo
