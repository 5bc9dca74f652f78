#include "tasks/task_source.h"

#include <stdexcept>

#include "tasks/needle.h"
#include "tasks/passkey.h"

namespace lococo {

bool needs_texts(const EvalTaskConfig& task) {
  switch (task.task) {
    case EvalTask::kPasskey:
      return task.hay == HayKind::kTexts;
    case EvalTask::kNeedle:
      return true;
    default:
      return false;
  }
}

std::unique_ptr<TaskSource> make_task_source(const EvalTaskConfig& task,
                                             const std::vector<int64_t>& lengths, const Hay* texts,
                                             const PromptForm& form) {
  if (needs_texts(task) && texts == nullptr) throw std::logic_error("a task without its texts");
  switch (task.task) {
    case EvalTask::kPasskey:
      return std::make_unique<PasskeySource>(task, lengths, texts, form);
    case EvalTask::kNeedle:
      return std::make_unique<NeedleSource>(task, lengths, *texts, form);
    default:
      throw std::logic_error("this task asks no questions");
  }
}

}  // namespace lococo
