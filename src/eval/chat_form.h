// Questions about long texts as a turn of a conversation.
#pragma once

#include <string>

#include "chat/chat_prompt.h"
#include "questions/prompt_form.h"

namespace lococo {

/// The user's message is context + question, and the assistant's begins with the answer's prefix.
class ChatForm final : public PromptForm {
 public:
  /// `system`: "" for none, or the template's own. Both references must outlive this.
  ChatForm(const ChatPrompt& chat, const Tokenizer& tokenizer, std::string system)
      : chat_(chat), tokenizer_(tokenizer), system_(std::move(system)) {}

  PromptIds ids(const std::string& context, const std::string& question,
                const std::string& answer_prefix) const override {
    return {chat_.context(system_, context), chat_.question(question, answer_prefix)};
  }
  const Tokenizer& tokenizer() const override { return tokenizer_; }

 private:
  const ChatPrompt& chat_;
  const Tokenizer& tokenizer_;
  std::string system_;
};

}  // namespace lococo
