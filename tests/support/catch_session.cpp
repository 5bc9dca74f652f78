#if !__has_include(<catch2/catch_all.hpp>)
#define CATCH_CONFIG_RUNNER  // version 2 is header only: its implementation is compiled here
#endif

#include "tests/support/catch_session.h"

#include <cstdio>

#include "tests/support/catch.h"

namespace {

constexpr int kAllSkipped = 4;  // Catch2 version 3 returns the same

struct Counts {
  int passed = 0;
  int failed = 0;
  int skipped = 0;
  bool skipping = false;  // the running test case asked to be skipped
};

Counts& counts() {
  static Counts instance;
  return instance;
}

#if __has_include(<catch2/catch_all.hpp>)
using ListenerBase = Catch::EventListenerBase;
bool is_skipped(const Catch::TestCaseStats& stats) { return stats.totals.testCases.skipped > 0; }
#else
using ListenerBase = Catch::TestEventListenerBase;
bool is_skipped(const Catch::TestCaseStats&) { return counts().skipping; }
#endif

class CountingListener : public ListenerBase {
 public:
  using ListenerBase::ListenerBase;

  void testCaseStarting(const Catch::TestCaseInfo& info) override {
    counts().skipping = false;
    ListenerBase::testCaseStarting(info);
  }

  void testCaseEnded(const Catch::TestCaseStats& stats) override {
    // A case that failed in one section and skipped in another has failed.
    if (stats.totals.testCases.failed > 0) {
      ++counts().failed;
    } else if (is_skipped(stats)) {
      ++counts().skipped;
    } else {
      ++counts().passed;
    }
    ListenerBase::testCaseEnded(stats);
  }
};

CATCH_REGISTER_LISTENER(CountingListener)

}  // namespace

namespace lococo::testing {

#if !__has_include(<catch2/catch_all.hpp>)
void skip_test_case() {
  counts().skipping = true;
  throw Catch::TestFailureException();  // leaves the test case; no assertion has failed
}
#endif

int run_catch_session(int argc, char** argv) {
  const int code = Catch::Session().run(argc, argv);
  const Counts& result = counts();
  std::printf("%d passed, %d failed, %d skipped\n", result.passed, result.failed, result.skipped);
  const bool only_skips = result.skipped > 0 && result.passed == 0 && result.failed == 0;
  return code == 0 && only_skips ? kAllSkipped : code;
}

}  // namespace lococo::testing
