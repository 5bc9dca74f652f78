// The known forms of a conversation as Jinja, for other programs.
#pragma once

#include <string>

#include "chat/chat_template.h"

namespace lococo {

/// A text that transformers' apply_chat_template makes the ids of usual_template() with, and that
/// recognise_template() knows; "" for kNone, which is no conversation's. `begins_with_bos`: of
/// kPlain alone.
std::string template_text(ChatFormat format, bool begins_with_bos = true);

}  // namespace lococo
