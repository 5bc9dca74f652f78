#include "report/task_progress.h"

#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <utility>

#include "core/elapsed.h"
#include "core/formatted.h"
#include "core/log.h"

namespace lococo {
namespace {

constexpr std::chrono::milliseconds kBetweenRedraws{200};
constexpr std::chrono::seconds kBetweenLogLines{10};

std::string count_text(int64_t count) {
  return count < 10000 ? std::to_string(count) : rate_text(static_cast<double>(count));
}

}  // namespace

std::string rate_text(double per_second) {
  if (per_second >= 1e9) return formatted("%.2fG", per_second / 1e9);
  if (per_second >= 1e6) return formatted("%.2fM", per_second / 1e6);
  if (per_second >= 1e3) return formatted("%.2fk", per_second / 1e3);
  return formatted("%.1f", per_second);
}

std::string duration_text(double seconds) {
  const auto total = static_cast<int64_t>(std::llround(seconds));
  return formatted("%lld:%02lld:%02lld", static_cast<long long>(total / 3600),
                   static_cast<long long>(total / 60 % 60), static_cast<long long>(total % 60));
}

std::string task_progress_text(const std::string& label, const std::string& unit, int64_t done,
                               int64_t total, double seconds) {
  const double rate = seconds > 0.0 ? static_cast<double>(done) / seconds : 0.0;
  std::string text = label;
  if (total > 0) {
    const double share = std::min(1.0, static_cast<double>(done) / static_cast<double>(total));
    text += "  " + formatted("%.0f%%", std::floor(100.0 * share));
  }
  text += "  " + count_text(done) + (total > 0 ? "/" + count_text(total) : "") + " " + unit;
  text += "  " + rate_text(rate) + " " + unit + "/s";
  if (total > 0 && rate > 0.0) {
    const auto left = static_cast<double>(std::max<int64_t>(0, total - done));
    text += "  ETA " + duration_text(left / rate);
  }
  return text;
}

TaskProgress::TaskProgress(std::string label, std::string unit, int64_t total, bool enabled)
    : label_(std::move(label)),
      unit_(std::move(unit)),
      total_(total),
      enabled_(enabled),
      terminal_(isatty(STDERR_FILENO) == 1),
      start_(Clock::now()) {
  next_ = start_;
  next_ += terminal_ ? Clock::duration(kBetweenRedraws) : Clock::duration(kBetweenLogLines);
}

TaskProgress::~TaskProgress() { end_line(); }

void TaskProgress::update(int64_t done, Clock::time_point now) {
  if (!enabled_ || now < next_) return;
  const double seconds = seconds_between(start_, now);
  const std::string text = task_progress_text(label_, unit_, done, total_, seconds);
  if (terminal_) {
    std::fprintf(stderr, "\r\033[K%s", text.c_str());
    std::fflush(stderr);
    line_open_ = true;
    next_ = now + kBetweenRedraws;
  } else {
    log_info(text);
    next_ = now + kBetweenLogLines;
  }
}

void TaskProgress::end_line() {
  if (line_open_) std::fputc('\n', stderr);
  line_open_ = false;
}

}  // namespace lococo
