// The line for a prompt that is too short for its task: which task, and how long it has to be.
#pragma once

#include <functional>
#include <string>

#include "tasks/task_sample.h"

namespace lococo {

/// Makes a sample of its task, kind, length, depth and trial; throws NoRoom for too short a length.
using MakeSample = std::function<TaskSample(TaskSample)>;

/// The sample that `make` makes of `cell`. Where its length has no room for it: throws UserError
/// that names task, kind, length and the least length with room for all `trials` of the cell.
TaskSample with_room(const std::string& task, TaskSample cell, int64_t trials,
                     const MakeSample& make);

}  // namespace lococo
