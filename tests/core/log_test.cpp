#include "core/log.h"

#include <fcntl.h>
#include <unistd.h>

#include <cstdio>
#include <regex>
#include <string>

#include "core/files.h"
#include "tests/support/catch.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/user_error.h"

using lococo::LogLevel;
using lococo::testing::TemporaryFolder;
using lococo::testing::user_error_of;

namespace {

/// What `write` prints to stderr.
template <typename Write>
std::string stderr_of(const Write& write) {
  const TemporaryFolder folder;
  const int file = open((folder / "stderr").c_str(), O_CREAT | O_RDWR, 0600);
  REQUIRE(file >= 0);
  std::fflush(stderr);
  const int saved = dup(STDERR_FILENO);
  dup2(file, STDERR_FILENO);
  write();
  std::fflush(stderr);
  dup2(saved, STDERR_FILENO);
  close(saved);
  close(file);
  return lococo::read_text_file(folder / "stderr");
}

}  // namespace

TEST_CASE("a log line has the time, the level and the message", "[core][log]") {
  lococo::configure_log(LogLevel::kInfo, true);
  const std::string text = stderr_of([] { lococo::log_info("half of {} done"); });
  INFO(text);
  CHECK(
      std::regex_match(text, std::regex("\\[\\d\\d:\\d\\d:\\d\\d\\] info: half of \\{\\} done\n")));
}

TEST_CASE("messages below the level, and all but errors of other ranks, are not printed",
          "[core][log]") {
  const auto all = [] {
    lococo::log_debug("a");
    lococo::log_info("b");
    lococo::log_warn("c");
    lococo::log_error("d");
  };
  const auto levels = [&] {
    const std::string text = std::regex_replace(stderr_of(all), std::regex("\\[[0-9:]+\\] "), "");
    return std::regex_replace(text, std::regex("\n"), " ");
  };
  lococo::configure_log(LogLevel::kTrace, true);
  CHECK(levels() == "debug: a info: b warn: c error: d ");
  lococo::configure_log(LogLevel::kWarn, true);
  CHECK(levels() == "warn: c error: d ");
  lococo::configure_log(LogLevel::kTrace, false);
  CHECK(levels() == "error: d ");
  lococo::configure_log(LogLevel::kInfo, true);
}

TEST_CASE("log levels are read by name", "[core][log]") {
  CHECK(lococo::parse_log_level("trace") == LogLevel::kTrace);
  CHECK(lococo::parse_log_level("warn") == LogLevel::kWarn);
  CHECK(lococo::parse_log_level("error") == LogLevel::kError);
  CHECK_CONTAINS(user_error_of([] { lococo::parse_log_level("loud"); }), "\"loud\" is unknown");
}
