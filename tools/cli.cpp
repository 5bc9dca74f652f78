#include "tools/cli.h"

#include <malloc.h>

#include <CLI/CLI.hpp>
#include <csignal>
#include <exception>
#include <filesystem>
#include <iostream>
#include <optional>
#include <system_error>

#include "core/build_info.h"
#include "core/config_write.h"
#include "core/config_yaml.h"
#include "core/error.h"
#include "core/log.h"

namespace lococo {
namespace {

std::string first_line(const std::string& text) { return text.substr(0, text.find('\n')); }

/// A name that cannot be looked up, such as a long prompt, is the name of no file.
bool looks_like_override(const std::string& argument) {
  std::error_code ignored;
  return argument.find('=') != std::string::npos && !std::filesystem::exists(argument, ignored);
}

/// The first argument without '=' is the config file; a second one is a mistake.
void sort_arguments(const std::vector<std::string>& arguments, CommandLine* line) {
  for (const std::string& argument : arguments) {
    if (looks_like_override(argument)) {
      line->overrides.push_back(argument);
    } else if (line->config_path.empty()) {
      line->config_path = argument;
    } else {
      throw UserError("argument \"" + argument + "\": one config file is enough (" +
                      line->config_path + "); options have the form key=value");
    }
  }
  if (arguments.empty()) throw UserError("no config file is given; see --help");
}

/// Empty when --help, --version or --reference was answered.
std::optional<CommandLine> parse(const std::string& name, const std::string& description, int argc,
                                 const char* const* argv) {
  CommandLine line;
  std::vector<std::string> arguments;
  bool reference = false;
  CLI::App app(description, name);
  app.add_option("arguments", arguments,
                 "config.yaml, then any number of key=value, for example cache.slots=128")
      ->type_name("");
  app.add_flag("--dry-run", line.dry_run, "Print what would be done and stop");
  app.add_flag("--debug", line.debug, "Print debug messages and full texts of internal errors");
  app.add_flag("--reference", reference, "Print every config key with its default and meaning");
  app.set_version_flag("--version", build_description(), "Print the version and stop");
  app.set_help_flag("--help,-h", "Print this help and stop");
  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp&) {
    std::cout << app.help();
    return std::nullopt;
  } catch (const CLI::CallForVersion&) {
    std::cout << build_description() << "\n";
    return std::nullopt;
  } catch (const CLI::ParseError& error) {
    throw UserError(first_line(error.what()) + "; see --help");
  }
  if (reference) {
    std::cout << reference_config();
    return std::nullopt;
  }
  sort_arguments(arguments, &line);
  return line;
}

Config read_config_of(const CommandLine& line) {
  Config config = load_config(line.config_path, line.overrides);
  if (line.debug && parse_log_level(config.log.level) > LogLevel::kDebug) {
    config.log.level = "debug";
  }
  configure_log(parse_log_level(config.log.level), true);
  return config;
}

/// Tensors of some hundred KB come and go by the thousand in a step on a CPU. What is freed stays
/// with the process, up to a bound: handed back and asked for again, every page of it would be a
/// fault.
void keep_freed_memory() {
  mallopt(M_MMAP_THRESHOLD, 32 << 20);
  mallopt(M_TRIM_THRESHOLD, 256 << 20);
}

int report(const std::string& name, const std::string& message, int code) {
  std::cout << std::flush;
  std::cerr << name << ": error: " << message << std::endl;
  return code;
}

}  // namespace

int run_tool(const std::string& name, const std::string& description, int argc,
             const char* const* argv,
             const std::function<int(const CommandLine&, const Config&)>& run) {
  keep_freed_memory();
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGXFSZ, SIG_IGN);
  bool debug = false;
  try {
    const std::optional<CommandLine> line = parse(name, description, argc, argv);
    if (!line) return 0;
    debug = line->debug;
    return run(*line, read_config_of(*line));
  } catch (const UserError& error) {
    return report(name, error.what(), 2);
  } catch (const std::exception& error) {
    const std::string text = error.what();
    return report(name, debug ? text : first_line(text) + " (internal; --debug says more)", 1);
  }
}

}  // namespace lococo
