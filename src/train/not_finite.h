// The last words of a run whose numbers are no longer finite.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "dist/communicator.h"
#include "model/registry.h"
#include "pass/pass_result.h"
#include "train/step_batches.h"
#include "train/training_sequences.h"

namespace lococo {

/// What the user can do about it: other weights, where those that the run began with are the cause,
/// else a smaller rate. `stepped`: trained weights are no longer what they were.
std::string cause_of_non_finite(const ParameterRegistry& parameters, bool stepped);

/// A step's micro-batches on this rank, and what came of them.
struct StepOutcome {
  int64_t step = 0;  ///< counted from 1
  const std::vector<MicroBatch>& batches;
  const std::vector<PassResult>& results;
};

/// Throws UserError with the sequence that the first loss which is not finite belongs to. A rank
/// whose own losses are fine waits for the one that knows the place to end the run.
[[noreturn]] void report_non_finite(const StepOutcome& outcome, const TrainingSequences& sequences,
                                    Communicator& communicator, const std::string& cause);

}  // namespace lococo
