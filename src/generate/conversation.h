// What a config says about conversations and questions.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "chat/chat_prompt.h"
#include "config/config.h"
#include "tokenizer/tokenizer.h"

namespace lococo {

/// Whether one question, about a document or alone, is what is continued.
bool asks_question(const GenerateConfig& config);

/// The form of conversations: generate.chat_template (with a warning where model.adapter was tuned
/// with another), or what the adapter was tuned with, or the base's own. Questions (and a
/// document) have a plain form where the model has no template; a conversation without a document
/// needs one. A line in the log says which it is. The tokenizer must outlive it. Throws UserError.
ChatPrompt conversation_form(const Config& config, const Tokenizer& tokenizer);

/// The text of generate.document, a file or "-". Throws UserError for one that cannot be read, is
/// no UTF-8 or empty.
std::string document_text(const GenerateConfig& config);

/// Texts that end an answer: generate.stop, and those of the form.
std::vector<std::string> stop_texts(const GenerateConfig& config, const ChatPrompt& form);

/// generate.document and generate.question as token ids.
std::vector<int32_t> question_tokens(const Config& config, const ChatPrompt& form);

}  // namespace lococo
