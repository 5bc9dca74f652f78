// How far a long task has come: tokenising, evaluating, reading a prompt.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace lococo {

/// "12.3", "4.56k", "7.89M": at most four characters and a unit.
std::string rate_text(double per_second);

/// "1:02:03", hours not padded.
std::string duration_text(double seconds);

/// "tokenising a.txt  27%  1.20M/4.44M bytes  350.00k bytes/s  ETA 0:00:09". A total of 0 is not
/// known, and then neither are share and ETA.
std::string task_progress_text(const std::string& label, const std::string& unit, int64_t done,
                               int64_t total, double seconds);

/// Redraws one line on a terminal, and logs one each ten seconds when stderr is a file or a pipe.
/// Says nothing about a task that is over before there is something to say. Used by one thread.
class TaskProgress {
 public:
  using Clock = std::chrono::steady_clock;

  /// The clock starts here. `total`: units of work in all, 0 when not known. `enabled`: rank 0
  /// only.
  TaskProgress(std::string label, std::string unit, int64_t total, bool enabled = true);
  /// Leaves the terminal on a fresh line.
  ~TaskProgress();
  TaskProgress(const TaskProgress&) = delete;
  TaskProgress& operator=(const TaskProgress&) = delete;

  /// `done`: units of work so far. Cheap enough for every call of an inner loop. `now` is for
  /// tests.
  void update(int64_t done, Clock::time_point now = Clock::now());

  /// Ends the line on a terminal, so that another message starts on its own.
  void end_line();

 private:
  std::string label_, unit_;
  int64_t total_;
  bool enabled_, terminal_;
  bool line_open_ = false;
  Clock::time_point start_, next_;  ///< next_: when something is shown again
};

}  // namespace lococo
