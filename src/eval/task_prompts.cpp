#include "eval/task_prompts.h"

#include "core/error.h"
#include "core/files.h"
#include "data/token_file.h"
#include "generate/conversation.h"

namespace lococo {
namespace {

/// Whose protocol is text that goes on.
bool is_plain_by_protocol(EvalTask task) {
  return task == EvalTask::kPasskey || task == EvalTask::kChoice || task == EvalTask::kManyShot;
}

Hay read_texts(const Config& config) {
  const std::string key = "data.validation";
  if (config.data.validation.empty())
    throw UserError(key + ": is empty; give the texts that surround what is asked");
  std::vector<std::string> paths;
  for (const auto& source : config.data.validation) {
    const bool is_file = path_exists(source.path) && !is_folder(source.path);
    if (is_file && (source.path.ends_with(".bin") || TokenFile::has_magic(source.path)))
      throw UserError(key + ": " + source.path + " holds tokens; a task needs texts");
    paths.push_back(source.path);
  }
  return Hay::of_documents(paths, config.data.text_field);
}

}  // namespace

TaskPrompts::TaskPrompts(const Config& config, const Tokenizer& tokenizer) : config_(config) {
  const bool plain =
      is_plain_by_protocol(config.eval.task.task) && config.generate.chat_template == "auto";
  if (plain) {
    form_ = std::make_unique<PlainForm>(tokenizer);
  } else {
    chat_.emplace(conversation_form(config, tokenizer));
    form_ = std::make_unique<ChatForm>(*chat_, tokenizer, config.generate.system);
  }
  if (needs_texts(config.eval.task)) texts_.emplace(read_texts(config));
}

std::unique_ptr<TaskSource> TaskPrompts::make_source() const {
  return make_task_source(config_.eval.task, config_.eval.lengths, texts_ ? &*texts_ : nullptr,
                          *form_);
}

std::vector<int32_t> TaskPrompts::end_tokens() const {
  return chat_ ? chat_->end_tokens() : std::vector<int32_t>();
}

std::vector<std::string> TaskPrompts::stop_texts() const {
  return chat_ ? chat_->stop_texts() : std::vector<std::string>();
}

}  // namespace lococo
