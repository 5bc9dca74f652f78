#include "tools/cli.h"

#include <fcntl.h>
#include <malloc.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <exception>
#include <filesystem>
#include <iostream>
#include <memory>
#include <optional>
#include <system_error>

#include "config/config_effect.h"
#include "config/config_write.h"
#include "config/config_yaml.h"
#include "core/build_info.h"
#include "core/edit_distance.h"
#include "core/error.h"
#include "core/launcher.h"
#include "core/log.h"
#include "core/memory_error.h"
#include "tools/passive_wait.h"

namespace lococo {
namespace {

std::string first_line(const std::string& text) { return text.substr(0, text.find('\n')); }

/// A name that cannot be looked up, such as a long prompt, is the name of no file.
bool looks_like_override(const std::string& argument) {
  std::error_code ignored;
  return argument.find('=') != std::string::npos && !std::filesystem::exists(argument, ignored);
}

/// The first argument without '=' is the config file; a second one is a mistake.
void sort_arguments(const Tool& tool, const std::vector<std::string>& arguments,
                    CommandLine* line) {
  for (const std::string& argument : arguments) {
    if (argument == "-" && !tool.dash.empty()) {
      line->overrides.push_back(tool.dash);
    } else if (looks_like_override(argument)) {
      line->overrides.push_back(argument);
    } else if (line->config_path.empty()) {
      line->config_path = argument;
    } else {
      throw UserError("argument \"" + argument + "\": one config file is enough (" +
                      line->config_path + "); options have the form key=value");
    }
  }
}

/// CLI11's own, but for the line of the usage.
class HelpFormatter : public CLI::Formatter {
 public:
  explicit HelpFormatter(std::string first) : first_(std::move(first)) { column_width(30); }

  std::string make_usage(const CLI::App*, std::string name) const override {
    return "\nUsage: " + name + " " + first_ +
           "[config.yaml] [key=value ...] [flags]\n"
           "  config.yaml  what to do; configs/ has examples, --reference every key\n"
           "  key=value    replaces what the config says: cache.slots=128\n";
  }

 private:
  std::string first_;
};

/// What the command line may hold, and what it held.
class Parser {
 public:
  explicit Parser(const Tool& tool) : tool_(tool), app_(tool.description, tool.name) {
    app_.allow_extras();
    app_.formatter(std::make_shared<HelpFormatter>(tool.first));
    app_.add_option("arguments", arguments_)->group("")->type_name("");
    values_.resize(tool.flags.size());
    for (size_t i = 0; i < tool.flags.size(); ++i) add(tool.flags[i], &values_[i]);
    const std::string group = "Flags of every tool";
    app_.add_flag("--dry-run", line_.dry_run, "Print what would be done and stop")->group(group);
    app_.add_flag("--debug", line_.debug, "Print debug messages and full internal errors")
        ->group(group);
    app_.add_flag("--reference", reference_, "Print every config key with default and meaning")
        ->group(group);
    app_.set_version_flag("--version", build_description(), "Print the version")->group(group);
    app_.set_help_flag("--help,-h", "Print this help")->group(group);
    app_.footer("Examples:\n" + tool.examples);
  }

  /// Empty when --help, --version or --reference was answered.
  std::optional<CommandLine> parse(int argc, const char* const* argv) {
    try {
      app_.parse(argc, argv);
    } catch (const CLI::CallForHelp&) {
      std::cout << app_.help();
      return std::nullopt;
    } catch (const CLI::CallForVersion&) {
      std::cout << build_description() << "\n";
      return std::nullopt;
    } catch (const CLI::ParseError& error) {
      throw UserError(first_line(error.what()) + "; see --help");
    }
    if (const auto unknown = app_.remaining(); !unknown.empty()) refuse(unknown.front());
    if (reference_) {
      std::cout << reference_config();
      return std::nullopt;
    }
    return sorted();
  }

 private:
  void add(const ToolFlag& flag, std::optional<std::string>* value) {
    CLI::Option* option =
        flag.value.empty()
            ? app_.add_flag_callback(
                  flag.name, [value] { *value = ""; }, flag.help)
            : app_.add_option_function<std::string>(
                  flag.name, [value](const std::string& text) { *value = text; }, flag.help);
    option->group(tool_.flags_title)->type_name(flag.value);
  }

  [[noreturn]] void refuse(const std::string& unknown) const {
    const std::string name = unknown.substr(0, unknown.find('='));
    std::string nearest;
    size_t least = 4;  // more letters than that are no misspelling
    for (const CLI::Option* option : app_.get_options()) {
      for (const std::string& known : option->get_lnames()) {
        const size_t distance = edit_distance(name, "--" + known);
        if (distance < least) nearest = "--" + known;
        least = std::min(least, distance);
      }
    }
    throw UserError(name + ": unknown flag" +
                    (nearest.empty() ? "" : ", did you mean " + nearest + "?") + "; see --help");
  }

  CommandLine sorted() {
    sort_arguments(tool_, arguments_, &line_);
    for (size_t i = 0; i < values_.size(); ++i) {
      if (values_[i]) line_.overrides.push_back(tool_.flags[i].override + *values_[i]);
    }
    if (line_.config_path.empty() && line_.overrides.empty())
      throw UserError("no config file is given; see --help");
    return line_;
  }

  const Tool& tool_;
  CLI::App app_;
  CommandLine line_;
  std::vector<std::string> arguments_;
  std::vector<std::optional<std::string>> values_;  ///< of the tool's own flags
  bool reference_ = false;
};

Config read_config_of(const CommandLine& line, const Tool& tool) {
  return load_config(line.config_path, line.overrides, [&](Config* config, ConfigOrigins* origins) {
    if (tool.passive_threads && !line.dry_run) wait_passively(config->distributed);
    if (line.debug && parse_log_level(config->log.level) > LogLevel::kDebug) {
      config->log.level = "debug";
    }
    configure_log(parse_log_level(config->log.level), true);
    if (tool.complete) tool.complete(config, origins);
  });
}

/// Tensors of some hundred KB come and go by the thousand in a step on a CPU. What is freed stays
/// with the process, up to a bound: handed back and asked for again, every page of it would be a
/// fault.
void keep_freed_memory() {
  mallopt(M_MMAP_THRESHOLD, 32 << 20);
  mallopt(M_TRIM_THRESHOLD, 256 << 20);
}

/// A standard output that is closed must not be the number of the next file that is opened: what is
/// printed would go there.
void keep_stdout() {
  if (::fcntl(STDOUT_FILENO, F_GETFD) == -1 && ::open("/dev/null", O_RDONLY) != STDOUT_FILENO)
    throw UserError("standard output: is closed; give the tool one, /dev/null at the least");
}

/// Throws UserError when something printed was lost.
void finish_stdout() {
  std::cout << std::flush;
  errno = 0;
  if (std::fflush(stdout) == 0 && std::ferror(stdout) == 0 && std::cout.good()) return;
  const std::string why = errno == 0 ? "" : " (" + std::string(std::strerror(errno)) + ")";
  throw UserError("standard output: cannot be written" + why);
}

int report(const std::string& name, const std::string& message, int code) {
  std::cout << std::flush;
  std::cerr << name << ": error: " << message << std::endl;
  return code;
}

}  // namespace

int run_tool(const Tool& tool, int argc, const char* const* argv) {
  keep_freed_memory();
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGXFSZ, SIG_IGN);
  bool debug = false, runs = false;
  try {
    keep_stdout();
    const std::optional<CommandLine> line = Parser(tool).parse(argc, argv);
    if (!line) {
      finish_stdout();
      return 0;
    }
    debug = line->debug;
    const Config config = read_config_of(*line, tool);
    // A run says so itself when it starts.
    if (const auto warning = effect_warning(config); line->dry_run && !warning.empty())
      log_warn(warning);
    runs = true;
    const int code = tool.run(*line, config);
    if (code == 0) finish_stdout();
    return code;
  } catch (const UserError& error) {
    if (!runs) let_rank_0_tell();
    return report(tool.name, error.what(), 2);
  } catch (const std::exception& error) {
    const std::string text = error.what();
    if (const auto memory = memory_error_line(error)) {
      return report(tool.name, debug ? *memory + "\n" + text : *memory, 2);
    }
    return report(tool.name, debug ? text : first_line(text) + " (internal; --debug says more)", 1);
  }
}

}  // namespace lococo
