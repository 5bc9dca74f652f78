// Everything lococo-eval does with eval.task other than perplexity.
#pragma once

#include "config/config.h"
#include "setup/session.h"

namespace lococo {

/// Asks the task's questions, prints a table and writes eval.output and eval.samples where they are
/// given. One process. Returns the process's exit code; throws UserError.
int run_tasks(const Config& config, const Session& session);

/// Throws UserError for a tokenizer, texts and questions that run_tasks() would refuse before it
/// loads the model.
void check_tasks(const Config& config);

}  // namespace lococo
