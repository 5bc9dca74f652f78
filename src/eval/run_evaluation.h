// Everything lococo-eval does.
#pragma once

#include "config/config.h"

namespace lococo {

/// Evaluates and prints a table (rank 0); writes config.eval.output when given. Returns the
/// process's exit code.
int run_evaluation(const Config& config);

/// Throws UserError where no document of data.validation is long enough for one of eval.lengths, as
/// far as all of it is tokenised already.
void check_evaluated_lengths(const Config& config);

/// Throws UserError for what run_evaluation() would refuse, without loading or tokenising anything:
/// results that cannot or must not be written, files of model and adapter (setup/check_inputs.h),
/// what is evaluated on (setup/training_sources.h), questions of a task. What --dry-run does.
void check_evaluation(const Config& config);

}  // namespace lococo
