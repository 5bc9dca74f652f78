// Prompts as the first turn of a conversation.
#pragma once

#include <string>

#include "chat/chat_prompt.h"
#include "questions/prompt_form.h"

namespace lococo {

/// The user's message is context + question, and the assistant begins with the answer's prefix.
class ChatForm final : public PromptForm {
 public:
  /// `system`: "" for the template's own, if any. Both references must outlive this.
  ChatForm(const ChatPrompt& chat, const Tokenizer& tokenizer, std::string system);
  PromptIds ids(const std::string& context, const std::string& question,
                const std::string& answer_prefix) const override;
  const Tokenizer& tokenizer() const override { return tokenizer_; }

 private:
  const ChatPrompt& chat_;
  const Tokenizer& tokenizer_;
  std::string system_;
};

}  // namespace lococo
