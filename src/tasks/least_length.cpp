#include "tasks/least_length.h"

#include <optional>

#include "questions/prompt_fitter.h"

namespace lococo {
namespace {

constexpr int64_t kLongestTried = int64_t{1} << 16;

bool has_room(TaskSample cell, int64_t trial, int64_t length, const MakeSample& make) {
  cell.trial = trial;
  cell.length = length;
  try {
    make(std::move(cell));
    return true;
  } catch (const NoRoom&) {
    return false;
  }
}

/// Nothing where the texts end before, or none that is tried is long enough.
std::optional<int64_t> least_length(const TaskSample& cell, int64_t trials,
                                    const MakeSample& make) {
  try {
    int64_t without = cell.length, with = 2 * without;
    while (!has_room(cell, cell.trial, with, make)) {
      if (with > kLongestTried) return std::nullopt;
      without = with;
      with *= 2;
    }
    while (without + 1 < with) {
      const int64_t middle = without + (with - without) / 2;
      (has_room(cell, cell.trial, middle, make) ? with : without) = middle;
    }
    // Sentences of other trials are some tokens longer or shorter.
    for (int64_t trial = 0; trial < trials; ++trial) {
      while (!has_room(cell, trial, with, make)) ++with;
    }
    return with;
  } catch (const UserError&) {
    return std::nullopt;
  }
}

}  // namespace

TaskSample with_room(const std::string& task, TaskSample cell, int64_t trials,
                     const MakeSample& make) {
  cell.task = task;
  try {
    return make(cell);
  } catch (const NoRoom&) {
    const auto least = least_length(cell, trials, make);
    throw UserError("eval.lengths: " + std::to_string(cell.length) +
                    " tokens have no room for a prompt of eval.task " + task +
                    (cell.kind.empty() ? "" : ", kind " + cell.kind) +
                    (least ? "; use " + std::to_string(*least) + " or more"
                           : "; give longer eval.lengths, or ask for less"));
  }
}

}  // namespace lococo
