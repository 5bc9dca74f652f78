// Sections of the config schema: how a run goes.
#pragma once

#include "config/config_schema_builder.h"

namespace lococo {

/// Those that say how a run goes: train to bench.
void add_run_sections(SchemaBuilder& add, Config& config);

}  // namespace lococo
