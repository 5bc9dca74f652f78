// Runs one benchmark by its name.
#pragma once

#include <string>
#include <vector>

#include "config/config.h"

namespace lococo {

/// In the order of --help.
std::vector<std::string> benchmark_names();

/// "train-step  ..." and so on, one line each.
std::string benchmark_list();

/// Whether several ranks run it together; the others take one process with the whole model.
bool runs_on_ranks(const std::string& name);

/// Throws UserError for a name that is none of benchmark_names(), for results that cannot or must
/// not be written and, of a benchmark that loads a model, for files of model and adapter
/// (setup/check_inputs.h). What --dry-run does.
void check_benchmark(const std::string& name, const Config& config);

/// Prints what it measures and writes bench.output. Throws UserError for a name that is none of
/// benchmark_names(), and for a config that the benchmark cannot use. Returns the exit code.
int run_benchmark(const std::string& name, const Config& config);

}  // namespace lococo
