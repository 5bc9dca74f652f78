// RULER's tasks that need no download.
#pragma once

#include "questions/prompt_fitter.h"
#include "questions/token_costs.h"
#include "questions/word_lists.h"
#include "tasks/cell_grid.h"
#include "tasks/task_source.h"

namespace lococo {

/// The tasks of RULER (arXiv 2404.06654, github.com/NVIDIA/RULER) with its counts, its shape of
/// prompts, its numbers of generated tokens and its scoring, string_match_all: the mean share of
/// the answers whose text occurs in what was generated. The wording of the prompts and all words
/// are our own, novels (data.validation) stand for its essays, and eval.lengths count the prompt
/// alone, where RULER adds the tokens to generate: figures compare models and policies here, not
/// with RULER's tables. Kinds:
///
///   niah_single_1    a number of seven digits among lines of filler (ruler_niah.h)
///   niah_single_2    the same in novels
///   niah_multikey_1  four numbers, one asked for
///   niah_multivalue  four numbers of one key, all asked for
///   niah_multiquery  four numbers of four keys, all asked for
///   vt               five variables, each assigned from the one before (ruler_tracking.h)
///   cwe              the ten commonest words of a list (ruler_words.h)
///   fwe              the three commonest words of a coded text
class RulerSource final : public TaskSource {
 public:
  RulerSource(const EvalTaskConfig& task, const std::vector<int64_t>& lengths, const Hay* texts,
              const PromptForm& form);
  int64_t size() const override { return grid_.size(); }
  TaskSample sample(int64_t index) override;
  std::vector<int64_t> telling_samples() const override { return grid_.telling_samples(); }

  /// Whether one of the kinds asked for takes the user's texts.
  static bool needs_texts(const EvalTaskConfig& task);

 private:
  TaskSample made(TaskSample sample);

  uint64_t seed_;
  Split split_;
  CellGrid grid_;
  Hay filler_;
  PromptFitter in_filler_, in_texts_;
  TokenCosts costs_;
};

}  // namespace lococo
