#include "eval/task_prompts.h"

#include "generate/conversation.h"

namespace lococo {
namespace {

/// Whose protocol is text that goes on.
bool is_plain_by_protocol(EvalTask task) {
  return task == EvalTask::kPasskey || task == EvalTask::kChoice || task == EvalTask::kManyShot;
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
  if (needs_texts(config.eval.task)) {
    std::vector<std::string> paths;
    for (const DataSource& source : config.data.validation) paths.push_back(source.path);
    texts_.emplace(
        Hay::of_key("data.validation", paths, config.data.text_field, "a task needs texts"));
  }
}

std::unique_ptr<TaskSource> TaskPrompts::make_source() const {
  return make_task_source(config_.eval.task, config_.eval.lengths, texts_ ? &*texts_ : nullptr,
                          *form_);
}

MadeSamples TaskPrompts::checked_samples() const {
  const auto source = make_source();
  MadeSamples made;
  for (const int64_t index : source->telling_samples()) made.emplace(index, source->sample(index));
  return made;
}

std::vector<int32_t> TaskPrompts::end_tokens() const {
  return chat_ ? chat_->end_tokens() : std::vector<int32_t>();
}

std::vector<std::string> TaskPrompts::stop_texts() const {
  return chat_ ? chat_->stop_texts() : std::vector<std::string>();
}

}  // namespace lococo
