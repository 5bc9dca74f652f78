// The one exception for the user's mistakes; tools print its line and exit with code 2.
#pragma once

#include <stdexcept>
#include <string>

namespace lococo {

/// The user's fault (config, file, flag, data): one readable line with the place and the remedy.
class UserError : public std::runtime_error {
 public:
  explicit UserError(const std::string& line) : std::runtime_error(line) {}
};

}  // namespace lococo
