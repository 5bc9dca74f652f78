// Samples of kinds x lengths x depths x trials, by their number.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "config/eval_config.h"
#include "tasks/task_sample.h"

namespace lococo {

/// The grid of a task whose prompts are made by drawing.
class CellGrid {
 public:
  /// `known`: the kinds that the task has; throws UserError, naming them, for another in
  /// task.kinds, or one that is named twice. `with_depths`: whether task.depths count.
  CellGrid(const EvalTaskConfig& task, const std::vector<int64_t>& lengths,
           const std::vector<std::string>& known, bool with_depths);

  int64_t size() const;
  int64_t trials() const { return trials_; }  ///< of each cell
  /// kind, length, depth and trial of a sample; trials are next to each other, then depths,
  /// lengths, kinds.
  TaskSample sample(int64_t index) const;
  /// TaskSource::telling_samples().
  std::vector<int64_t> telling_samples() const;

 private:
  std::vector<std::string> kinds_;
  std::vector<int64_t> lengths_;
  std::vector<double> depths_;
  int64_t trials_;
};

}  // namespace lococo
