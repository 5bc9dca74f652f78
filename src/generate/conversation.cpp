#include "generate/conversation.h"

#include <optional>

#include "chat/model_template.h"
#include "core/error.h"
#include "core/log.h"
#include "generate/prompt.h"
#include "setup/taught_template.h"
#include "tokenizer/utf8_text.h"

namespace lococo {
namespace {

ChatTemplate conversation_template(const Config& config) {
  const bool must_be_tuned = config.generate.chat && config.generate.document.empty();
  const TemplateChoice choice = {format_named(config.generate.chat_template), must_be_tuned};
  const auto taught = taught_unless_given(config, "generate.chat_template", choice, today_text());
  if (taught) return *taught;
  const std::string folder = template_folder(config.model.path, config.data.tokenizer);
  auto chat = model_template(folder, choice, today_text());
  chat.begins_with_bos = chat.begins_with_bos && config.data.add_bos;
  log_info(std::string("chat template ") + name_of(chat.format));
  return chat;
}

}  // namespace

bool asks_question(const GenerateConfig& config) {
  return !config.chat && (!config.question.empty() || !config.document.empty());
}

ChatPrompt conversation_form(const Config& config, const Tokenizer& tokenizer) {
  return {conversation_template(config), tokenizer};
}

std::string document_text(const GenerateConfig& config) {
  const std::string text = read_text_or_standard_input(config.document);
  const std::string place = "generate.document: " + config.document;
  check_utf8(text, place);
  if (text.empty()) throw UserError(place + " is empty");
  return text;
}

std::vector<std::string> stop_texts(const GenerateConfig& config, const ChatPrompt& form) {
  auto texts = form.stop_texts();
  texts.insert(texts.end(), config.stop.begin(), config.stop.end());
  return texts;
}

std::vector<int32_t> question_tokens(const Config& config, const ChatPrompt& form) {
  const auto& generate = config.generate;
  if (generate.question.empty()) {
    throw UserError(
        "generate.question: is empty; ask something about the document (--question), or talk about "
        "it (--chat)");
  }
  check_utf8(generate.question, "generate.question");
  if (generate.document.empty()) return form.first_turn(generate.system, generate.question);
  auto ids = form.context(generate.system, document_text(generate));
  const auto rest = form.question_about_document(generate.question);
  ids.insert(ids.end(), rest.begin(), rest.end());
  return ids;
}

}  // namespace lococo
