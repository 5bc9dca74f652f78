#include "report/progress.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "core/elapsed.h"
#include "core/formatted.h"
#include "core/log.h"
#include "core/units.h"
#include "report/task_progress.h"

namespace lococo {
std::string progress_text(const StepMetrics& metrics, int64_t steps, double eta_s) {
  std::string text = "step " + std::to_string(metrics.step) + "/" + std::to_string(steps);
  text += "  loss " + formatted("%.4f", metrics.loss);
  text += "  " + rate_text(metrics.tokens_per_s) + " tokens/s";
  text +=
      "  peak " + formatted("%.2f", static_cast<double>(metrics.peak_memory_bytes) / kGiB) + " GiB";
  if (eta_s >= 0) text += "  ETA " + duration_text(eta_s);
  return text;
}

Progress::Progress(int64_t steps, int64_t every, bool enabled)
    : steps_(steps),
      every_(std::max<int64_t>(1, every)),
      enabled_(enabled),
      terminal_(isatty(STDERR_FILENO) == 1) {}

Progress::~Progress() { end_line(); }

void Progress::update(const StepMetrics& metrics) {
  const double eta_s = eta_seconds(metrics.step);
  if (!enabled_) return;
  if (terminal_) {
    std::fprintf(stderr, "\r\033[K%s", progress_text(metrics, steps_, eta_s).c_str());
    std::fflush(stderr);
    line_open_ = true;
  } else if (metrics.step % every_ == 0 || metrics.step == steps_) {
    log_info(progress_text(metrics, steps_, eta_s));
  }
}

double Progress::eta_seconds(int64_t step) {
  const auto now = steady_now();
  if (timed_from_ < 0) {  // the first step also warms up caches and allocators: not timed
    timed_from_ = step;
    start_ = now;
    return -1;
  }
  if (step <= timed_from_) return -1;
  const double seconds = seconds_between(start_, now);
  return seconds / static_cast<double>(step - timed_from_) *
         static_cast<double>(std::max<int64_t>(0, steps_ - step));
}

void Progress::end_line() {
  if (line_open_) std::fputc('\n', stderr);
  line_open_ = false;
}

}  // namespace lococo
