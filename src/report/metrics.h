// What a training run records: metrics.jsonl and TensorBoard events.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "report/tensorboard.h"

namespace lococo {

struct StepMetrics {
  int64_t step = 0;               ///< 1-based: updates made so far
  double loss = 0.0;              ///< mean over the step's target tokens, nats
  int64_t tokens = 0;             ///< trained on since step 0, over all ranks
  double tokens_per_s = 0.0;      ///< of this step, over all ranks
  int64_t peak_memory_bytes = 0;  ///< largest over the ranks
  double lr = 0.0;
  double grad_norm = 0.0;                      ///< before clipping
  std::map<std::string, int64_t> counts = {};  ///< what else some runs count, by name
};

/// Appends to FOLDER/metrics.jsonl (one line a step, keys as in StepMetrics),
/// FOLDER/evaluation.jsonl and, when asked, a TensorBoard event file in FOLDER. Used by rank 0
/// only. Every line is written out before the call returns.
class MetricsWriter {
 public:
  /// `resumed_step`: updates that the resumed checkpoint had made, 0 for a fresh run. Lines of
  /// later steps, and an unfinished last line, are cut off both files (logged), so that each step
  /// is there once; TensorBoard is told to forget such steps too. Throws UserError for a file that
  /// is not ours or not writable.
  MetricsWriter(const std::string& folder, int64_t resumed_step, bool tensorboard);

  void write(const StepMetrics& metrics);

  /// One line {"step": ..., NAME: VALUE ...} of evaluation.jsonl; in TensorBoard eval/NAME.
  void write_evaluation(int64_t step, const std::map<std::string, double>& values);

 private:
  std::string metrics_path_, evaluation_path_;
  std::unique_ptr<EventFile> events_;
};

}  // namespace lococo
