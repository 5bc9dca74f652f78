// Whether the files of a run fit together, without loading them.
#pragma once

#include <string>

#include "config/config.h"

namespace lococo {

/// The base's fingerprint where it is known without reading weights, those that are drawn; of a
/// model.path empty.
std::string known_base_fingerprint(const Config& config);

/// Opens the headers of model.path and model.adapter and throws the UserError that prepare_model()
/// would throw for them: missing and damaged files, names, shapes, cache options, LoRA. Values are
/// not read (NaN), but for the checksums of an adapter that is a checkpoint, nor what a whole
/// reading of the base would tell (its fingerprint). What --dry-run of the tools does; of training
/// and evaluation it looks at the texts too (setup/training_sources.h).
void check_inputs(const Config& given);

}  // namespace lococo
