// The tokenizer and other small files that an exported model takes along.
#pragma once

#include <cstdint>
#include <vector>

#include "config/config.h"
#include "weights/companion_file.h"

namespace lococo {

/// What other programs, and the tools here, look for beside weights: for export.kind merged and
/// adapter those that exist of tokenizer.json, tokenizer.model and what belongs to them, for merged
/// generation_config.json too, with the tokens that end an answer where records were trained on
/// (setup/generation_config.h); nothing for the convolutions alone. chat_template.jinja is that of
/// the records, or of model.adapter's folder, where the base's own is another. Otherwise the bytes
/// are those of the files (links are followed). They are model.path's. With another tokenizer as
/// data.tokenizer it comes under its usual name, with what stands beside it where it has that name
/// already, and nothing of model.path's tokenizer: two would contradict each other. Throws
/// UserError for a file that cannot be read, is larger than 100 MB or a link to nothing, and for a
/// data.tokenizer that is none or has more tokens than the model (`vocab_size`).
std::vector<CompanionFile> read_companion_files(const Config& config, int64_t vocab_size);

}  // namespace lococo
