// How well an answer fits, in the figures of its task.
#pragma once

#include <string>
#include <vector>

#include "tasks/task_sample.h"

namespace lococo {

struct Score {
  std::string metric;
  double value = 0.0;      ///< in [0, 1]
  bool is_binary = false;  ///< 0 or 1 in every sample
};

/// The figures of an answer, the task's main one first:
///   prefix        accuracy
///   contains_all  match, the mean over the sample's answers; binary with one answer
///   contains_any  match
///   choice        accuracy by summed log-likelihood, accuracy_norm by log-likelihood per byte of
///                 the option (as lm-evaluation-harness: it does not depend on a tokenizer); of
///                 equal options the first counts as chosen
///   qa            f1, exact_match, rouge_l (text_metrics.h)
/// Texts are compared without regard to the case of ASCII letters, as RULER does.
std::vector<Score> scores_of(const TaskSample& sample, const TaskAnswer& answer);

/// The answer that is right, for tests of a task and for samples without a model.
TaskAnswer oracle_answer(const TaskSample& sample);
/// The sample's guess.
TaskAnswer random_answer(const TaskSample& sample);

}  // namespace lococo
