// The "pre_tokenizer" of a tokenizer.json.
#pragma once

#include <vector>

#include "tokenizer/json_place.h"
#include "tokenizer/pre_tokenizer.h"

namespace lococo {

/// Throws UserError for a kind or an option that is not known here, and where the last step does
/// not turn text into bytes (ByteLevel).
std::vector<SplitStep> read_split_steps(const JsonPlace& place);

}  // namespace lococo
