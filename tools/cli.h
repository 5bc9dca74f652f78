// The command line that all tools share.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "config/config.h"
#include "config/config_yaml.h"

namespace lococo {

/// TOOL [config.yaml] [key=value ...] [--dry-run] [--debug] [the tool's own flags]
struct CommandLine {
  std::string config_path;             ///< empty: defaults and overrides only
  std::vector<std::string> overrides;  ///< "cache.slots=128"; what flags stand for comes last
  bool dry_run = false;                ///< print what would be done and stop before doing it
  bool debug = false;                  ///< full texts of internal errors; log.level at least debug
};

/// A flag of one tool: a short way to write an override.
struct ToolFlag {
  std::string name;   ///< "--prompt"
  std::string value;  ///< what the help calls its value, "TEXT"; empty: a flag without one
  std::string help;
  std::string override;  ///< "generate.prompt=", before the value; the whole override without one
};

/// What one tool has of its own.
struct Tool {
  std::string name;         ///< "lococo-eval"
  std::string description;  ///< lines at the top of the help
  std::string examples;     ///< lines at its end, "lococo-eval config.yaml\n"
  std::function<int(const CommandLine&, const Config&)> run;
  /// Sets config values that are not given, before they are checked; logging works there.
  ConfigCompletion complete = nullptr;
  bool passive_threads = false;  ///< of a run that is not dry (tools/passive_wait.h)
  std::string first = "";        ///< what stands before the config, for the help: "NAME "
  std::string flags_title = "";  ///< heading of `flags` in the help
  std::vector<ToolFlag> flags = {};
  std::string dash = "";  ///< override that the argument "-" stands for; empty: none
};

/// Reads the command line and the config and calls the tool's `run`; returns the exit code of the
/// process.
///   what `run` returns; 0 for --help, --version and --reference
///   2  the user's fault or too little memory: one line on stderr, "NAME: error: ..."
///   1  our fault: one line on stderr; the full text with --debug
/// Ignores SIGPIPE and SIGXFSZ, so that writing to a closed pipe or a full disk is an error that
/// can be reported.
/// Tells malloc to keep freed memory for the next tensor.
int run_tool(const Tool& tool, int argc, const char* const* argv);

}  // namespace lococo
