// The needle task: one fact in a text, at every depth, of every kind.
#pragma once

#include "questions/prompt_fitter.h"
#include "tasks/cell_grid.h"
#include "tasks/task_source.h"

namespace lococo {

/// Facts of the question generator (question_generator.h) in the user's texts. Kinds: digits,
/// words, names, paraphrase, and multikey: four numbers, one of which is asked for.
/// eval.distance and eval.distractors are the generator's. The question gives the beginning of the
/// answer's sentence, and an answer is right when the greedy ids begin with those of the gold
/// answer: nothing counts that was said on the way to it. Chance: 1 in 90,000 for numbers, else 1
/// in as many words as the answer is drawn from.
class NeedleSource final : public TaskSource {
 public:
  NeedleSource(const EvalTaskConfig& task, const std::vector<int64_t>& lengths, const Hay& texts,
               const PromptForm& form);
  int64_t size() const override { return grid_.size(); }
  TaskSample sample(int64_t index) override;
  std::vector<int64_t> telling_samples() const override { return grid_.telling_samples(); }

 private:
  TaskSample made(TaskSample sample);

  EvalTaskConfig task_;
  CellGrid grid_;
  PromptFitter fitter_;
};

}  // namespace lococo
