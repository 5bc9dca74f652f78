// An evaluation when the last step is done and saved.
#pragma once

#include <functional>
#include <string>

#include "dist/communicator.h"

namespace lococo {

/// Runs `body`, in which `ranks` evaluate together what is saved in the folder `checkpoint`. A run
/// that is done has not failed because its evaluation has: the log says why there is none, and
/// where the checkpoint is. One rank goes on from there. Of several the others wait in the middle
/// of a sequence for the one that fails: it ends all, with exit code 0.
void run_closing_evaluation(Communicator& ranks, const std::string& checkpoint,
                            const std::function<void()>& body);

}  // namespace lococo
