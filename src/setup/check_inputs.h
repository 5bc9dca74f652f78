// Whether the files of a run fit together, without loading them.
#pragma once

#include "config/config.h"

namespace lococo {

/// Opens the headers of model.path and model.adapter and throws the UserError that prepare_model()
/// would throw for them: missing and damaged files, names, shapes, cache options, LoRA. Values are
/// not read (NaN, checksums), nor what a whole reading of the base would tell (its fingerprint).
/// What --dry-run of the tools does; training looks at its texts too (setup/training_sources.h).
void check_inputs(const Config& given);

}  // namespace lococo
