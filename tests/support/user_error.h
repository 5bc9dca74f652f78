// What a call told the user.
#pragma once

#include <string>

#include "core/error.h"
#include "tests/support/catch.h"

namespace lococo::testing {

/// The line of the UserError that `call` throws; fails the test when it throws none, or more than a
/// line.
template <typename Call>
std::string user_error_of(const Call& call) {
  try {
    call();
  } catch (const UserError& error) {
    const std::string line = error.what();
    CHECK(line.find('\n') == std::string::npos);
    return line;
  }
  FAIL("no UserError was thrown");
  return "";
}

/// CHECKs that `line` holds `part`, and shows both when not.
#define CHECK_CONTAINS(line, part)                 \
  do {                                             \
    INFO(line);                                    \
    CHECK((line).find(part) != std::string::npos); \
  } while (false)

}  // namespace lococo::testing
