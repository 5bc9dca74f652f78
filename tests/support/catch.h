#pragma once

/// The one include of Catch2: version 2 (Debian 12) and version 3 (Ubuntu 24.04).
///
/// `SKIP("reason")` works in both: it ends the test case, which counts as skipped.
/// `SKIP_FIXTURES("reason")` is for missing fixture files: with LOCOCO_FIXTURES set in the
/// environment the user asked for those tests, so there a missing file is a failure.

#include <cstdlib>

#if __has_include(<catch2/catch_all.hpp>)
#include <catch2/catch_all.hpp>

/// Version 3 names it Catch::Approx.
using Catch::Approx;  // NOLINT(google-global-names-in-headers)
#else
#include <catch2/catch.hpp>

namespace lococo::testing {
/// Notes that the running test case is skipped (catch_main.cpp counts it) and leaves it.
[[noreturn]] void skip_test_case();
}  // namespace lococo::testing

#define SKIP(reason)                     \
  do {                                   \
    WARN("skipped: " << reason);         \
    ::lococo::testing::skip_test_case(); \
  } while (false)
#endif

#define SKIP_FIXTURES(reason)                         \
  do {                                                \
    if (std::getenv("LOCOCO_FIXTURES") != nullptr) {  \
      FAIL("LOCOCO_FIXTURES is set, but " << reason); \
    }                                                 \
    SKIP(reason);                                     \
  } while (false)
