// The command line that all tools share.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "core/config.h"

namespace lococo {

/// TOOL [config.yaml] [key=value ...] [--dry-run] [--debug]
struct CommandLine {
  std::string config_path;             ///< empty: defaults and overrides only
  std::vector<std::string> overrides;  ///< "cache.slots=128"
  bool dry_run = false;                ///< print what would be done and stop before doing it
  bool debug = false;                  ///< full texts of internal errors; log.level at least debug
};

/// Reads the command line and the config and calls `run`; returns the exit code of the process.
///   what `run` returns; 0 for --help, --version and --reference
///   2  the user's fault: one line on stderr, "NAME: error: ..."
///   1  our fault: one line on stderr; the full text with --debug
/// Ignores SIGPIPE and SIGXFSZ, so that writing to a closed pipe or a full disk is an error that
/// can be reported.
/// Tells malloc to keep freed memory for the next tensor.
int run_tool(const std::string& name, const std::string& description, int argc,
             const char* const* argv,
             const std::function<int(const CommandLine&, const Config&)>& run);

}  // namespace lococo
