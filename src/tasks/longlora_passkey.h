// LongLoRA's own passkey prompts, to the letter.
#pragma once

#include <cstdint>
#include <string>

#include "tasks/cell_grid.h"
#include "tasks/task_source.h"

namespace lococo {

/// Characters of filler in a prompt that is to have about `tokens` tokens.
int64_t longlora_filler_characters(int64_t tokens);

/// What one prompt is made of.
struct LongLoraPasskey {
  int64_t before = 0;  ///< characters of filler before the key; as many as are left follow it
  int64_t key = 0;     ///< 1 to 49,999
};
/// The draws of seed `trial` (NumPy's RandomState), as that code makes them.
LongLoraPasskey longlora_passkey(int64_t trial, int64_t filler_characters);

/// The prompts of passkey_retrivial.py (arXiv 2309.12307) for eval.hay longlora: a length of
/// eval.lengths means as much filler as that code takes for as many tokens, whatever it really
/// gives, trial t is its seed t (eval.seed counts for nothing), and the filler begins anew behind
/// the key. An answer is right when the greedy ids are the key's. Throws UserError for lengths
/// beyond that code's 449,999 characters of filler.
/// Chance: 1 in 49,999.
class LongLoraPasskeySource final : public TaskSource {
 public:
  LongLoraPasskeySource(const EvalTaskConfig& task, const std::vector<int64_t>& lengths,
                        const PromptForm& form);
  int64_t size() const override { return grid_.size(); }
  TaskSample sample(int64_t index) override;

 private:
  CellGrid grid_;
  const PromptForm& form_;
  std::string filler_;
};

}  // namespace lococo
