#include "lessons/open_lessons.h"

#include "chat/chat_prompt.h"
#include "chat/model_template.h"
#include "core/error.h"

namespace lococo {
namespace {

constexpr const char* kNeeds = "data.lesson_share needs texts; name some in data.lesson_texts";

struct KeyOfTexts {
  std::string key;
  std::vector<std::string> paths;
};

KeyOfTexts texts_of(const DataConfig& data) {
  if (!data.lesson_texts.empty()) return {"data.lesson_texts", data.lesson_texts};
  KeyOfTexts texts = {"data.train", {}};
  for (const DataSource& source : data.train) texts.paths.push_back(source.path);
  return texts;
}

/// Throws what is wrong before a text is opened.
LessonOptions checked_options(const Config& config, const Tokenizer* tokenizer) {
  const DataConfig& data = config.data;
  if (tokenizer == nullptr) {
    throw UserError(
        "data.lesson_share: lessons need a tokenizer, and the model has none; give data.tokenizer");
  }
  const auto texts = texts_of(data);
  Hay::check_key(texts.key, texts.paths, kNeeds);
  LessonOptions options;
  options.context_length = data.lesson_length > 0 ? data.lesson_length : data.context_length;
  options.far = data.far;
  options.chat = model_template(template_folder(config.model.path, data.tokenizer),
                                {/*format=*/std::nullopt, /*required=*/false}, kFixedDay);
  options.chat.begins_with_bos = data.add_bos;
  const ChatPrompt has_every_token(options.chat, *tokenizer);
  lesson_sentences(options.context_length, *tokenizer);
  return options;
}

}  // namespace

std::vector<std::string> lesson_paths(const DataConfig& data) { return texts_of(data).paths; }

void check_lessons(const Config& config, const Tokenizer* tokenizer) {
  if (config.data.lesson_share > 0.0) checked_options(config, tokenizer);
}

std::unique_ptr<LessonSource> open_lessons(const Config& config,
                                           std::shared_ptr<const Tokenizer> tokenizer) {
  const DataConfig& data = config.data;
  if (data.lesson_share == 0.0) return nullptr;
  const auto options = checked_options(config, tokenizer.get());
  const auto texts = texts_of(data);
  return std::make_unique<LessonSource>(
      options, Hay::of_key(texts.key, texts.paths, data.text_field, kNeeds), std::move(tokenizer));
}

}  // namespace lococo
