// Samples of a task in order, made by several threads while earlier ones are answered.
#pragma once

#include <cstdint>
#include <functional>
#include <future>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "tasks/task_source.h"

namespace lococo {

/// Samples by their number.
using MadeSamples = std::map<int64_t, TaskSample>;

class SampleStream {
 public:
  /// `make_source` gives each thread a source of its own, all of the same samples; `window` of
  /// these are made at a time. `made` are taken as they are.
  SampleStream(const std::function<std::unique_ptr<TaskSource>()>& make_source, int64_t threads,
               int64_t window, MadeSamples made = {});
  /// Waits for what is being made.
  ~SampleStream();

  int64_t size() const { return sources_.front()->size(); }

  /// The next samples, at most `window`; none at the end. Throws what making them throws.
  std::vector<TaskSample> next();

 private:
  void start();
  TaskSample take(TaskSource& source, int64_t index);

  std::vector<std::unique_ptr<TaskSource>> sources_;
  int64_t window_;
  MadeSamples made_;
  int64_t begin_ = 0;  ///< of what is being made
  std::vector<TaskSample> making_;
  std::vector<std::future<void>> threads_;
};

}  // namespace lococo
