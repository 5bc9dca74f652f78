// Records as a config asks for them.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "chat/chat_template.h"
#include "chat/model_template.h"
#include "config/config.h"
#include "records/record_rows.h"
#include "records/record_set.h"
#include "tokenizer/tokenizer.h"

namespace lococo {

/// What data.template says.
TemplateChoice template_choice(const DataConfig& data);

/// The form that data.template names: the model's own (auto; plain where it has none), or another.
/// `today` as in TemplateValues. Throws UserError for a template that is not known.
ChatTemplate template_of_records(const Config& config, const std::string& today);

/// Of template_of_records(), with a word in the log where auto found none. Templates that name the
/// day have the same one in every run. The tokenizer must outlive the result. Throws UserError for
/// a template that is not known or that the tokenizer lacks a token of.
TranscriptMaker make_transcripts(const Config& config, const Tokenizer& tokenizer);

/// Puts the key before a UserError that `body` throws: of a file alone nobody knows which list of
/// the config names it.
void naming_key(const std::string& key, const std::function<void()>& body);

/// The records of `sources`, which `key` names (data.records or data.validation_records), in
/// data.context_length + 1 tokens at most, in the form `chat`; without one in that of
/// make_transcripts(). `tokenizer` may be null: then throws UserError.
std::vector<RecordSet> open_record_sets(const Config& config, const std::string& key,
                                        const std::vector<DataSource>& sources,
                                        const Tokenizer* tokenizer,
                                        const std::optional<ChatTemplate>& chat = {});

/// The rows of data.records; null without any.
std::unique_ptr<RecordRows> open_records(const Config& config, const Tokenizer* tokenizer);

}  // namespace lococo
