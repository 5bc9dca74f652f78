// Many labelled examples in the prompt, and one more to label.
#pragma once

#include <string>
#include <vector>

#include "questions/prompt_form.h"
#include "questions/word_lists.h"
#include "tasks/cell_grid.h"
#include "tasks/task_source.h"

namespace lococo {

struct LabelledClass {
  std::string label;
  std::vector<std::string> texts;  ///< that may stand in the prompt
  std::vector<std::string> asked;  ///< that may be asked for; the same or some of them
};

/// The classes of a JSONL file {"text": text, "label": text}, in the order of their first record.
/// Throws UserError, with file and line, for a bad record, and for fewer than 2 or more than 50
/// labels, or a label with a single text (the same one twice counts once).
std::vector<LabelledClass> read_labelled_file(const std::string& path);

/// Prompts of eval.lengths tokens made of examples, a line each ("Text: ... Label: ..."), scored as
/// a choice among the labels: by log-likelihood, nothing else can be answered. Examples come in
/// rounds, in each of which every label stands once, in random order; the first round may lack
/// some. The text that is asked for is none of the examples, and each label is right equally often
/// over the trials of a cell, as far as their number allows. Texts of a class come again, in
/// another order, where there are too few. The prompt has at most `length` tokens and nearly always
/// exactly as many: some of the first examples are exchanged for longer ones.
///
/// The examples are those of eval.questions or, without a file, nouns of eight categories, each of
/// which gets one of eight labels that mean nothing; which one is drawn for each prompt, so that
/// the examples alone tell. What is asked for are nouns of the split. Chance: 1 / labels.
class ManyShotSource final : public TaskSource {
 public:
  ManyShotSource(const EvalTaskConfig& task, const std::vector<int64_t>& lengths,
                 const PromptForm& form);
  int64_t size() const override { return grid_.size(); }
  TaskSample sample(int64_t index) override;
  std::vector<int64_t> telling_samples() const override { return grid_.telling_samples(); }

 private:
  TaskSample made(TaskSample sample) const;

  uint64_t seed_;
  CellGrid grid_;
  const PromptForm& form_;
  Split split_;
  std::vector<LabelledClass> classes_;  // of the file; empty: drawn
};

}  // namespace lococo
