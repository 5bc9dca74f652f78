#include "train/closing_evaluation.h"

#include <exception>

#include "core/log.h"
#include "core/memory_error.h"

namespace lococo {

void run_closing_evaluation(Communicator& ranks, const std::string& checkpoint,
                            const std::function<void()>& body) {
  try {
    body();
  } catch (const std::exception& error) {
    const std::string what = error.what();
    const std::string line = "no evaluation after training: " +
                             memory_error_line(error).value_or(what.substr(0, what.find('\n'))) +
                             "; the training is done, and its checkpoint " + checkpoint +
                             " is good";
    if (ranks.size() == 1) return log_warn(line);
    log_error("rank " + std::to_string(ranks.rank()) + ": " + line);  // others log nothing less
    ranks.abort(0);
  }
}

}  // namespace lococo
