// The form of conversations that a model was tuned on.
#pragma once

#include <optional>
#include <string>

#include "chat/chat_template.h"
#include "config/config.h"

namespace lococo {

/// The run that made what generates or is exported, as far as its records go: the config itself
/// where it has data.records, else with the data of the checkpoint at model.adapter. Nullopt where
/// there were no records. Throws UserError for a checkpoint that cannot be read, and for a
/// tokenizer of its run, beside which the template lies, that is not there.
std::optional<Config> config_of_records(const Config& config);

/// The template that model.adapter was tuned with: that of its records, or the one in its folder.
/// Nullopt where neither is there: then the base's own is meant. `today` as in TemplateValues.
/// Throws UserError for files that cannot be read and for a template that is not known.
std::optional<ChatTemplate> taught_template(const Config& config, const std::string& today);

}  // namespace lococo
