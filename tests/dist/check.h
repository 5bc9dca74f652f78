// Checks for programs that run as several ranks: a rank that fails ends all of them, where a test
// framework would leave the others waiting for it.
#pragma once

#include <string>

#include "dist/communicator.h"

/// Ends all ranks with code 1 and a message when `condition` is false. Needs a `communicator`.
#define DIST_CHECK(condition)                                                                 \
  do {                                                                                        \
    if (!(condition)) {                                                                       \
      ::lococo::abort_all_ranks(                                                              \
          communicator, -1,                                                                   \
          std::string(__FILE__ ":") + std::to_string(__LINE__) + ": failed: " #condition, 1); \
    }                                                                                         \
  } while (false)
