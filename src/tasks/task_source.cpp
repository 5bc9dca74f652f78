#include "tasks/task_source.h"

#include <stdexcept>

#include "tasks/longlora_passkey.h"
#include "tasks/many_shot.h"
#include "tasks/needle.h"
#include "tasks/passkey.h"
#include "tasks/question_file.h"
#include "tasks/ruler.h"

namespace lococo {

bool needs_texts(const EvalTaskConfig& task) {
  switch (task.task) {
    case EvalTask::kPasskey:
      return task.hay == HayKind::kTexts;
    case EvalTask::kNeedle:
      return true;
    case EvalTask::kRuler:
      return RulerSource::needs_texts(task);
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
      if (task.hay == HayKind::kLongLora)
        return std::make_unique<LongLoraPasskeySource>(task, lengths, form);
      return std::make_unique<PasskeySource>(task, lengths, texts, form);
    case EvalTask::kNeedle:
      return std::make_unique<NeedleSource>(task, lengths, *texts, form);
    case EvalTask::kRuler:
      return std::make_unique<RulerSource>(task, lengths, texts, form);
    case EvalTask::kChoice:
      return std::make_unique<ChoiceSource>(task, form);
    case EvalTask::kQa:
      return std::make_unique<QaSource>(task, form);
    case EvalTask::kManyShot:
      return std::make_unique<ManyShotSource>(task, lengths, form);
    case EvalTask::kPerplexity:
      break;
  }
  throw std::logic_error("perplexity asks no questions");
}

}  // namespace lococo
