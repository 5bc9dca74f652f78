#include "lessons/open_lessons.h"

#include "chat/model_template.h"
#include "core/error.h"

namespace lococo {
namespace {

/// For templates that name the day: lessons must be the same on every one.
constexpr const char* kDay = "26 Jul 2024";

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

}  // namespace

void check_lessons(const Config& config, const Tokenizer* tokenizer) {
  if (config.data.lesson_share == 0.0) return;
  if (tokenizer == nullptr) {
    throw UserError(
        "data.lesson_share: lessons need a tokenizer, and the model has none; give data.tokenizer");
  }
  const auto texts = texts_of(config.data);
  Hay::check_key(texts.key, texts.paths, kNeeds);
}

std::unique_ptr<LessonSource> open_lessons(const Config& config,
                                           std::shared_ptr<const Tokenizer> tokenizer) {
  const DataConfig& data = config.data;
  if (data.lesson_share == 0.0) return nullptr;
  check_lessons(config, tokenizer.get());
  const auto texts = texts_of(data);
  LessonOptions options;
  options.context_length = data.lesson_length > 0 ? data.lesson_length : data.context_length;
  options.far = data.far;
  options.chat = model_template(template_folder(config.model.path, data.tokenizer),
                                {/*format=*/std::nullopt, /*required=*/false}, kDay);
  options.chat.begins_with_bos = data.add_bos;
  return std::make_unique<LessonSource>(
      options, Hay::of_key(texts.key, texts.paths, data.text_field, kNeeds), std::move(tokenizer));
}

}  // namespace lococo
