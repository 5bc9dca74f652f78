#include "tasks/chat_form.h"

#include <utility>

namespace lococo {

ChatForm::ChatForm(const ChatPrompt& chat, const Tokenizer& tokenizer, std::string system)
    : chat_(chat), tokenizer_(tokenizer), system_(std::move(system)) {}

PromptIds ChatForm::ids(const std::string& context, const std::string& question,
                        const std::string& answer_prefix) const {
  return {chat_.context(system_, context), chat_.question(question, answer_prefix)};
}

}  // namespace lococo
