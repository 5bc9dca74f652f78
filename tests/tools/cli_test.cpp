#include "tools/cli.h"

#include <algorithm>
#include <cstdint>
#include <iostream>
#include <new>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "config/config_write.h"
#include "core/build_info.h"
#include "core/error.h"
#include "core/files.h"
#include "tests/support/catch.h"
#include "tests/support/temporary_folder.h"

using lococo::CommandLine;
using lococo::Config;
using lococo::testing::TemporaryFolder;

namespace {

struct Outcome {
  int code = -1;
  std::string out;
  std::string err;
  bool ran = false;
  CommandLine line;
  Config config;
};

lococo::Tool tool_with_flags() {
  lococo::Tool tool = {"lococo-test", "Tests things.", "  lococo-test x.yaml\n", {}};
  tool.flags_title = "Prompt";
  tool.flags = {{"--prompt", "TEXT", "The text", "generate.prompt="},
                {"--quiet", "", "Say nothing", "log.level=error"}};
  tool.dash = "generate.prompt_file=-";
  return tool;
}

Outcome run(
    std::vector<const char*> arguments, const std::function<void()>& body = [] {}) {
  arguments.insert(arguments.begin(), "lococo-test");
  Outcome outcome;
  std::ostringstream out, err;
  std::streambuf* const old_out = std::cout.rdbuf(out.rdbuf());
  std::streambuf* const old_err = std::cerr.rdbuf(err.rdbuf());
  lococo::Tool tool = tool_with_flags();
  tool.run = [&](const CommandLine& line, const Config& config) {
    outcome.ran = true;
    outcome.line = line;
    outcome.config = config;
    body();
    return 0;
  };
  outcome.code = lococo::run_tool(tool, static_cast<int>(arguments.size()), arguments.data());
  std::cout.rdbuf(old_out);
  std::cerr.rdbuf(old_err);
  outcome.out = out.str();
  outcome.err = err.str();
  return outcome;
}

}  // namespace

TEST_CASE("an override may be longer than any file name", "[core][cli]") {
  for (const size_t length : {size_t{240}, size_t{300}, size_t{100'000}}) {
    const std::string prompt(length, 'p');
    const Outcome outcome = run({("generate.prompt=" + prompt).c_str()});
    CHECK(outcome.code == 0);
    CHECK(outcome.config.generate.prompt == prompt);
  }
  const Outcome outcome = run({("train.steps=" + std::string(300, '9')).c_str()});
  CHECK(outcome.code == 2);
  CHECK(outcome.err.find("train.steps") != std::string::npos);
}

TEST_CASE("a tool gets the config with its overrides", "[core][cli]") {
  const TemporaryFolder folder;
  const std::string path = folder / "x.yaml";
  lococo::write_text_file(path, "cache: {slots: 64, block: 32}\n");
  const Outcome outcome = run({path.c_str(), "cache.slots=128", "--dry-run", "data.train=[a, b]"});
  CHECK(outcome.code == 0);
  CHECK(outcome.err.empty());
  REQUIRE(outcome.ran);
  CHECK(outcome.line.config_path == path);
  CHECK(outcome.line.overrides == std::vector<std::string>{"cache.slots=128", "data.train=[a, b]"});
  CHECK(outcome.line.dry_run);
  CHECK_FALSE(outcome.line.debug);
  CHECK(outcome.config.cache.slots == 128);
  CHECK(outcome.config.cache.block == 32);
  CHECK(outcome.config.data.train.size() == 2);
}

TEST_CASE("the exit code is what the tool returns", "[core][cli]") {
  const char* const arguments[] = {"lococo-test", "cache.slots=8"};
  lococo::Tool tool = tool_with_flags();
  tool.run = [](const CommandLine&, const Config&) { return 75; };
  CHECK(lococo::run_tool(tool, 2, arguments) == 75);
}

TEST_CASE("overrides alone need no config file", "[core][cli]") {
  const Outcome outcome = run({"cache.slots=128", "--debug"});
  CHECK(outcome.code == 0);
  CHECK(outcome.line.config_path.empty());
  CHECK(outcome.config.cache.slots == 128);
  CHECK(outcome.config.log.level == "debug");
}

TEST_CASE("a config file may have '=' in its path", "[core][cli]") {
  const TemporaryFolder folder;
  const std::string path = folder / "lr=1.yaml";
  lococo::write_text_file(path, "cache: {slots: 64}\n");
  CHECK(run({path.c_str()}).config.cache.slots == 64);
}

TEST_CASE("help, version and reference are printed and nothing runs", "[core][cli]") {
  const Outcome help = run({"--help"});
  CHECK(help.code == 0);
  CHECK_FALSE(help.ran);
  CHECK(help.out.find("Tests things.") != std::string::npos);
  CHECK(help.out.find("--dry-run") != std::string::npos);
  const Outcome version = run({"--version"});
  CHECK(version.code == 0);
  CHECK_FALSE(version.ran);
  CHECK(version.out == lococo::build_description() + "\n");
  const Outcome reference = run({"--reference"});
  CHECK(reference.code == 0);
  CHECK_FALSE(reference.ran);
  CHECK(reference.out == lococo::reference_config());
}

TEST_CASE("mistakes on the command line give one line and exit code 2", "[core][cli]") {
  const TemporaryFolder folder;
  const std::string path = folder / "x.yaml";
  lococo::write_text_file(path, "");
  const std::vector<std::vector<const char*>> cases = {
      {},
      {"--dryrun"},
      {path.c_str(), "cache.slots"},
      {path.c_str(), "cache.slot=3"},
      {path.c_str(), "=3"},
      {"/none/x.yaml"},
      {"cache.slots=0"},
  };
  for (const auto& arguments : cases) {
    const Outcome outcome = run(arguments);
    INFO(outcome.err);
    CHECK(outcome.code == 2);
    CHECK_FALSE(outcome.ran);
    CHECK(outcome.err.rfind("lococo-test: error: ", 0) == 0);
    CHECK(outcome.err.find('\n') == outcome.err.size() - 1);
  }
  CHECK(run({path.c_str(), "cache.slots"}).err.find("argument \"cache.slots\"") !=
        std::string::npos);
}

TEST_CASE("the user's errors of a tool give exit code 2, ours 1", "[core][cli]") {
  const Outcome user = run({"cache.slots=8"}, [] { throw lococo::UserError("a.txt: is empty"); });
  CHECK(user.code == 2);
  CHECK(user.err == "lococo-test: error: a.txt: is empty\n");
  const auto fail = [] { throw std::runtime_error("broken\nframe 1\nframe 2"); };
  const Outcome ours = run({"cache.slots=8"}, fail);
  CHECK(ours.code == 1);
  CHECK(ours.err == "lococo-test: error: broken (internal; --debug says more)\n");
  const Outcome full = run({"cache.slots=8", "--debug"}, fail);
  CHECK(full.code == 1);
  CHECK(full.err == "lococo-test: error: broken\nframe 1\nframe 2\n");
}

TEST_CASE("a flag of a tool is an override, its value as it is", "[core][cli]") {
  for (const std::string text :
       {"No. 7 #street", "null", "-x", "--debug", "a=b", "", "[a]", "\"a\""}) {
    INFO(text);
    const Outcome outcome = run({"cache.slots=8", "--prompt", text.c_str()});
    CHECK(outcome.code == 0);
    CHECK(outcome.config.generate.prompt == text);
    CHECK(outcome.config.log.level == "info");
  }
  CHECK(run({"--prompt=a b"}).config.generate.prompt == "a b");
  CHECK(run({"--prompt", "a", "generate.prompt=b"}).config.generate.prompt == "a");
  CHECK(run({"--quiet"}).config.log.level == "error");
}

TEST_CASE("a dash alone is the override that the tool says", "[core][cli]") {
  CHECK(run({"-", "cache.slots=8"}).config.generate.prompt_file == "-");
}

TEST_CASE("an override of any length works or is refused by its key", "[core][cli]") {
  const std::string text(5000, 'x');
  CHECK(run({("generate.prompt=" + text).c_str()}).config.generate.prompt == text);
  CHECK(run({"--prompt", text.c_str()}).config.generate.prompt == text);
}

TEST_CASE("an unknown flag names the nearest one", "[core][cli]") {
  CHECK(run({"--dryrun"}).err ==
        "lococo-test: error: --dryrun: unknown flag, did you mean --dry-run?; see --help\n");
  CHECK(run({"cache.slots=8", "--promt=x"}).err ==
        "lococo-test: error: --promt: unknown flag, did you mean --prompt?; see --help\n");
  CHECK(run({"--completely-different"}).err ==
        "lococo-test: error: --completely-different: unknown flag; see --help\n");
  CHECK(run({"-x"}).code == 2);
  CHECK(run({"--prompt"}).code == 2);
}

TEST_CASE("the help fits one screen and has groups and examples", "[core][cli]") {
  const std::string help = run({"--help"}).out;
  INFO(help);
  for (const char* part : {"Usage: lococo-test [config.yaml] [key=value ...] [flags]", "Prompt:",
                           "--prompt TEXT", "--reference", "Examples:\n  lococo-test x.yaml\n"})
    CHECK(help.find(part) != std::string::npos);
  CHECK(std::count(help.begin(), help.end(), '\n') <= 30);
  std::istringstream lines(help);
  for (std::string line; std::getline(lines, line);) CHECK(line.size() <= 100);
}

TEST_CASE("too little memory is the user's line, whoever noticed it", "[core][cli]") {
  const auto refused = [](const std::function<void()>& body) {
    const Outcome outcome = run({"cache.slots=8"}, body);
    CHECK(outcome.code == 2);
    CHECK(outcome.err.find("lococo-test: error: not enough memory") == 0);
    CHECK(outcome.err.find('\n') == outcome.err.size() - 1);
    CHECK(outcome.err.find("internal") == std::string::npos);
    return outcome.err;
  };
  refused([] { throw std::bad_alloc(); });
  refused([] { std::vector<double>().reserve(SIZE_MAX); });
  CHECK(refused([] {
          throw std::runtime_error(
              "[enforce fail at alloc_cpu.cpp:117] err == 0. DefaultCPUAllocator: can't allocate "
              "memory: you tried to allocate 4000000000000 bytes. Error code 12 (Cannot allocate "
              "memory)\nframe 1");
        }).find("(4000000000000 bytes more were asked for)") != std::string::npos);
  CHECK(
      refused([] {
        throw std::runtime_error(
            "CUDA out of memory. Tried to allocate 20.50 GiB. GPU 0 has a total capacity of 139.80 "
            "GiB of which 2.00 GiB is free.");
      }).find("(20.50 GiB more were asked for)") != std::string::npos);
  refused(
      [] { throw std::runtime_error("CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate`"); });
  CHECK(run({"cache.slots=8"}, [] { throw std::runtime_error("memory is fine"); }).code == 1);
}
