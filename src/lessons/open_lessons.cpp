#include "lessons/open_lessons.h"

#include "chat/model_template.h"
#include "core/error.h"

namespace lococo {
namespace {

/// For templates that name the day: lessons must be the same on every one.
constexpr const char* kDay = "26 Jul 2024";

Hay read_texts(const DataConfig& data) {
  const std::string needs = "data.lesson_share needs texts; name some in data.lesson_texts";
  if (!data.lesson_texts.empty())
    return Hay::of_key("data.lesson_texts", data.lesson_texts, data.text_field, needs);
  std::vector<std::string> paths;
  for (const DataSource& source : data.train) paths.push_back(source.path);
  return Hay::of_key("data.train", paths, data.text_field, needs);
}

}  // namespace

std::unique_ptr<LessonSource> open_lessons(const Config& config,
                                           std::shared_ptr<const Tokenizer> tokenizer) {
  const DataConfig& data = config.data;
  if (data.lesson_share == 0.0) return nullptr;
  if (!tokenizer) {
    throw UserError(
        "data.lesson_share: lessons need a tokenizer, and the model has none; give data.tokenizer");
  }
  LessonOptions options;
  options.context_length = data.lesson_length > 0 ? data.lesson_length : data.context_length;
  options.far = data.far;
  options.chat = model_template(template_folder(config.model.path, data.tokenizer),
                                {/*format=*/std::nullopt, /*required=*/false}, kDay);
  options.plain_begins_with_bos = data.add_bos;
  return std::make_unique<LessonSource>(options, read_texts(data), std::move(tokenizer));
}

}  // namespace lococo
