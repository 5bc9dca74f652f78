// Figures in the text of reports and progress.
#pragma once

#include <cstdio>
#include <string>

namespace lococo {

/// As snprintf writes it, in at most 255 bytes.
template <typename... Values>
std::string formatted(const char* pattern, Values... values) {
  char buffer[256];
  std::snprintf(buffer, sizeof(buffer), pattern, values...);
  return buffer;
}

}  // namespace lococo
