// What the answers to a task's questions are worth, for people and as JSON.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "config/config.h"
#include "tasks/cells.h"

namespace lococo {

struct TaskResults {
  std::vector<Cell> cells;  ///< of each kind, length, depth and figure
  int64_t questions = 0;
  int64_t prompt_tokens = 0;  ///< of all questions together
  double seconds = 0;
  int64_t peak_memory_bytes = 0;

  void add(const TaskSample& sample, const std::vector<Score>& scores);
};

/// A line for each kind, length and figure, all depths together: its mean in percent, the 95 %
/// interval, and what somebody who only guesses would have.
std::string task_table(const TaskResults& results);

/// {"task", "cells": [{"kind", "length", "depth", "metric", "trials", "correct", "mean", "low",
/// "high", "chance"}], "policy", "slots", ...}; "correct" is the sum of the scores, "depth" null
/// where it is drawn.
std::string task_json(const Config& config, const TaskResults& results);

}  // namespace lococo
