#include "generate/conversation.h"

#include <optional>

#include "chat/model_template.h"
#include "core/error.h"
#include "generate/prompt.h"

namespace lococo {
namespace {

std::optional<ChatFormat> format_of(const std::string& name) {
  for (const auto format :
       {ChatFormat::kPlain, ChatFormat::kLlama2, ChatFormat::kLlama3, ChatFormat::kChatml}) {
    if (name == name_of(format)) return format;
  }
  return std::nullopt;  // auto
}

}  // namespace

bool asks_question(const GenerateConfig& config) {
  return !config.chat && (!config.question.empty() || !config.document.empty());
}

ChatPrompt conversation_form(const Config& config, const Tokenizer& tokenizer) {
  const std::string folder = template_folder(config.model.path, config.data.tokenizer);
  const bool must_be_tuned = config.generate.chat && config.generate.document.empty();
  const auto chat = model_template(
      folder, {format_of(config.generate.chat_template), must_be_tuned}, today_text());
  return ChatPrompt(chat, tokenizer, config.data.add_bos);
}

std::string document_text(const GenerateConfig& config) {
  const std::string text = read_text_or_standard_input(config.document);
  check_utf8(text, "generate.document");
  if (text.empty()) throw UserError("generate.document: " + config.document + " is empty");
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
