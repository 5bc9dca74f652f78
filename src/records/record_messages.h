// The two forms of a record, instruction and conversation, as messages.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "chat/transcript.h"

namespace lococo {

/// {"instruction", "input" (may be missing or empty), "output"}: the user says instruction and, on
/// a line of its own, input. {"messages": [{"role", "content"}, ...]}: system (at most one, first),
/// user and assistant in turn, the assistant last. Other keys are passed over.
///
/// What may be cut of the first user message (ChatMessage::document_begin): the input; without one
/// everything but the last line, which is taken for the question.
///
/// Throws UserError with `place` for a missing field, one that is no text, an unknown role, roles
/// in another order, and an empty answer.
std::vector<ChatMessage> record_messages(const nlohmann::json& record, const std::string& place);

}  // namespace lococo
