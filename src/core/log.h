// Our own front of the logging library, so that files with torch headers can log (both bring an fmt
// of their own).
#pragma once

#include <string>

namespace lococo {

enum class LogLevel { kTrace, kDebug, kInfo, kWarn, kError };

/// Reads a level's name (trace, debug, info, warn, error); throws UserError for another.
LogLevel parse_log_level(const std::string& name);

/// Sets the lowest level that is printed and whether this process prints at all (only rank 0 does;
/// errors always print).
void configure_log(LogLevel level, bool is_main_rank);

/// Prints one line to stderr.
void log_line(LogLevel level, const std::string& message);

inline void log_debug(const std::string& message) { log_line(LogLevel::kDebug, message); }
inline void log_info(const std::string& message) { log_line(LogLevel::kInfo, message); }
inline void log_warn(const std::string& message) { log_line(LogLevel::kWarn, message); }
inline void log_error(const std::string& message) { log_line(LogLevel::kError, message); }

}  // namespace lococo
