// The passkey task: a number of five digits in a text that has nothing to do with it.
#pragma once

#include <memory>

#include "questions/prompt_fitter.h"
#include "tasks/cell_grid.h"
#include "tasks/task_source.h"

namespace lococo {

/// LongLoRA's protocol (arXiv 2309.12307, passkey_retrivial.py): its sentences before and behind
/// the text, the key said twice in one sentence, the same question; the text is its five sentences
/// again and again or the user's texts (eval.hay); behind these the quiz that was promised is
/// announced, because a model may take the bare question for a line of the novel and go on with the
/// story. Mended: keys are uniform over all numbers of five digits (not 1 to 50,000), prompts have
/// exactly the tokens of eval.lengths, not as many characters as may give about so many, the depth
/// is one that eval.depths names or uniform over the whole text, not over a text that begins anew
/// behind the key, decoding is greedy whatever the checkpoint asks for, and an answer is right when
/// the greedy ids begin with the key's (an early end of text does not shift what is compared).
/// Chance: 1 in 90,000.
class PasskeySource final : public TaskSource {
 public:
  PasskeySource(const EvalTaskConfig& task, const std::vector<int64_t>& lengths, const Hay* texts,
                const PromptForm& form);
  int64_t size() const override { return grid_.size(); }
  TaskSample sample(int64_t index) override;
  std::vector<int64_t> telling_samples() const override { return grid_.telling_samples(); }

 private:
  TaskSample made(TaskSample sample);

  uint64_t seed_;
  int64_t min_distance_;
  HayKind hay_;
  CellGrid grid_;
  Hay filler_;
  PromptFitter fitter_;
};

}  // namespace lococo
