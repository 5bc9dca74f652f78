// The samples of an evaluation task, made one at a time.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "config/eval_config.h"
#include "questions/hay.h"
#include "questions/prompt_form.h"
#include "tasks/task_sample.h"

namespace lococo {

/// Samples are numbered from 0, those of a cell (kind, length, depth) one after another; each is
/// the same on every machine, whichever were made before. One source is for one thread at a time,
/// several sources of the same arguments may be used at once.
class TaskSource {
 public:
  virtual ~TaskSource() = default;
  virtual int64_t size() const = 0;
  /// `index` in [0, size()).
  virtual TaskSample sample(int64_t index) = 0;
  /// Some samples that show whether all can be made, to be made before a model is loaded: of each
  /// kind one at every depth of the least length, which has the least room, and one of the greatest
  /// length, for which the texts may be too short. None for questions that are as long as they are.
  virtual std::vector<int64_t> telling_samples() const { return {}; }
};

/// Whether prompts are made of texts that the user gives (data.validation).
bool needs_texts(const EvalTaskConfig& task);

/// The source of what section eval asks for; any task but perplexity. `texts` is null unless
/// needs_texts(task). `texts` and `form` must outlive the source. Throws UserError for kinds that
/// the task does not have and for a bad file of questions; samples throw it when the prompt's
/// length has no room for the question.
///
///   passkey     LongLoRA's protocol (passkey.h)
///   needle      one fact in a text: lengths x depths x kinds (needle.h)
///   ruler       RULER's tasks that need no download (ruler.h)
///   choice, qa  all questions of eval.questions (question_file.h), as long as they are
///   many_shot   labelled examples (many_shot.h)
std::unique_ptr<TaskSource> make_task_source(const EvalTaskConfig& task,
                                             const std::vector<int64_t>& lengths, const Hay* texts,
                                             const PromptForm& form);

}  // namespace lococo
