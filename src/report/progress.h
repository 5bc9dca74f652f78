// The line that tells a user how training goes.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include "report/metrics.h"

namespace lococo {

/// "step 12/1000  loss 3.4567  1.23k tokens/s  peak 1.50 GiB  ETA 0:12:34". `eta_s` < 0: unknown.
std::string progress_text(const StepMetrics& metrics, int64_t steps, double eta_s);

/// Redraws one line on a terminal; logs a line each `every` steps when stderr is a file or a pipe.
class Progress {
 public:
  /// `steps`: of the whole run. `enabled`: rank 0 only.
  Progress(int64_t steps, int64_t every, bool enabled);
  /// Leaves the terminal on a fresh line.
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  void update(const StepMetrics& metrics);

  /// Ends the line on a terminal, so that another message starts on its own.
  void end_line();

 private:
  double eta_seconds(int64_t step);

  int64_t steps_, every_;
  bool enabled_, terminal_;
  bool line_open_ = false;
  int64_t timed_from_ = -1;  ///< the step at whose end the clock started; -1: not yet
  std::chrono::steady_clock::time_point start_;
};

}  // namespace lococo
