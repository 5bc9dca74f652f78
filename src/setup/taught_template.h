// The form of conversations that a model was tuned on.
#pragma once

#include <optional>
#include <string>

#include "chat/chat_template.h"
#include "chat/model_template.h"
#include "config/config.h"

namespace lococo {

/// The run that made what generates or is exported, as far as its records go: the config itself
/// where it has data.records, else with the data of the checkpoint at model.adapter. Nullopt where
/// there were no records. Throws UserError for a checkpoint that cannot be read, and for a
/// tokenizer of its run, beside which the template lies, that is not there.
std::optional<Config> config_of_records(const Config& config);

/// The template that model.adapter was tuned with: that of its records, or the one in its folder.
/// Nullopt where neither is there: then the base's own is meant. `today` as in TemplateValues.
/// Throws UserError for files that cannot be read and, with `advice`, for a template that is not
/// known.
std::optional<ChatTemplate> taught_template(const Config& config, const std::string& today,
                                            const char* advice = TemplateChoice().advice);

/// taught_template() where `choice`, which the key `key` made, is auto, with a line in the log.
/// What is given stands: nullopt, and a warning where the adapter was tuned with another one.
std::optional<ChatTemplate> taught_unless_given(const Config& config, const std::string& key,
                                                const TemplateChoice& choice,
                                                const std::string& today);

/// The template in which data.validation_records are asked outside of a training: data.template; in
/// auto that of model.adapter before the model's own. Nullopt: that of make_transcripts().
std::optional<ChatTemplate> template_of_evaluation(const Config& config);

}  // namespace lococo
