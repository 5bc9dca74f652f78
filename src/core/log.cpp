#include "core/log.h"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <array>
#include <memory>

#include "core/error.h"

namespace lococo {
namespace {

constexpr std::array<const char*, 5> kLevelNames = {"trace", "debug", "info", "warn", "error"};

spdlog::level::level_enum to_spdlog(LogLevel level) {
  switch (level) {
    case LogLevel::kTrace:
      return spdlog::level::trace;
    case LogLevel::kDebug:
      return spdlog::level::debug;
    case LogLevel::kInfo:
      return spdlog::level::info;
    case LogLevel::kWarn:
      return spdlog::level::warn;
    case LogLevel::kError:
      return spdlog::level::err;
  }
  return spdlog::level::info;
}

spdlog::logger& logger() {
  static const std::shared_ptr<spdlog::logger> instance = [] {
    auto made = std::make_shared<spdlog::logger>("lococo",
                                                 std::make_shared<spdlog::sinks::stderr_sink_mt>());
    made->set_pattern("[%H:%M:%S] %v");
    made->set_level(spdlog::level::info);
    made->flush_on(spdlog::level::trace);
    return made;
  }();
  return *instance;
}

}  // namespace

LogLevel parse_log_level(const std::string& name) {
  for (size_t i = 0; i < kLevelNames.size(); ++i) {
    if (name == kLevelNames[i]) return static_cast<LogLevel>(i);
  }
  throw UserError("log level \"" + name + "\" is unknown; use trace, debug, info, warn or error");
}

void configure_log(LogLevel level, bool is_main_rank) {
  logger().set_level(is_main_rank ? to_spdlog(level) : spdlog::level::err);
}

void log_line(LogLevel level, const std::string& message) {
  // The name is put in here because spdlog spells "warning" where the config says warn.
  logger().log(to_spdlog(level), "{}: {}", kLevelNames[static_cast<size_t>(level)], message);
}

}  // namespace lococo
