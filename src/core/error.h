// The one exception for the user's mistakes; tools print its line and exit with code 2.
#pragma once

#include <algorithm>
#include <stdexcept>
#include <string>

namespace lococo {

/// The user's fault (config, file, flag, data): one readable line with the place and the remedy.
/// Control characters, which names and values of a file may hold, become spaces.
class UserError : public std::runtime_error {
 public:
  explicit UserError(const std::string& line) : std::runtime_error(printable(line)) {}

 private:
  static std::string printable(std::string line) {
    const auto is_control = [](unsigned char c) { return c < 0x20 || c == 0x7f; };
    std::replace_if(line.begin(), line.end(), is_control, ' ');
    return line;
  }
};

}  // namespace lococo
