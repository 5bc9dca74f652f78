#include "core/log.h"

#include <regex>
#include <string>

#include "tests/support/catch.h"
#include "tests/support/stderr_of.h"
#include "tests/support/user_error.h"

using lococo::LogLevel;
using lococo::testing::stderr_of;
using lococo::testing::user_error_of;

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
