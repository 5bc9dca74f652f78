// The tasks whose questions the user brings in a JSONL file: choice and qa.
#pragma once

#include <string>
#include <vector>

#include "questions/prompt_form.h"
#include "tasks/task_source.h"

namespace lococo {

/// A line of a choice file: {"context": text, "options": [text, ...], "answer": index or one of the
/// options, "question": text (may be left out)}. At least two options, none empty or twice.
struct ChoiceItem {
  std::string context, question;
  std::vector<std::string> options;
  int64_t correct = 0;
  std::string place = {};  ///< file and line
};

/// A line of a qa file: {"context": text, "question": text, "answers": [text, ...]}.
struct QaItem {
  std::string context, question;
  std::vector<std::string> answers;
};

/// Other keys are passed over, and so are blank lines. Throws UserError, with file and line, for
/// anything else, and for a file without records; the file may be compressed (.zst).
std::vector<ChoiceItem> read_choice_file(const std::string& path);
std::vector<QaItem> read_qa_file(const std::string& path);

/// Asks all questions of the file: trial is the record's number from 0, length 0. The prompt is the
/// context, a line "Question: ..." and "Answer:", after which an option or the answer comes.
/// A choice without a question goes on with an option right behind the context, whose last token
/// then is all of question_ids, so that there is something to go on from; a context of one token,
/// which leaves none to be read before, is a UserError.
/// Chance: 1 / options. qa: the guess is the first answer of another question of the file, and its
/// chance is taken as 0; 32 tokens are generated, or what the longest answer has if that is more.
class ChoiceSource final : public TaskSource {
 public:
  ChoiceSource(const EvalTaskConfig& task, const PromptForm& form);
  int64_t size() const override { return static_cast<int64_t>(items_.size()); }
  TaskSample sample(int64_t index) override;

 private:
  uint64_t seed_;
  const PromptForm& form_;
  std::vector<ChoiceItem> items_;
};

class QaSource final : public TaskSource {
 public:
  QaSource(const EvalTaskConfig& task, const PromptForm& form);
  int64_t size() const override { return static_cast<int64_t>(items_.size()); }
  TaskSample sample(int64_t index) override;

 private:
  uint64_t seed_;
  const PromptForm& form_;
  std::vector<QaItem> items_;
};

}  // namespace lococo
