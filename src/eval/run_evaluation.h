// Everything lococo-eval does.
#pragma once

#include "config/config.h"

namespace lococo {

/// Evaluates and prints a table (rank 0); writes config.eval.output when given. Returns the
/// process's exit code.
int run_evaluation(const Config& config);

/// Throws UserError for a file of results that cannot or must not be written; before any work.
void check_evaluation_outputs(const EvalConfig& eval);

}  // namespace lococo
