#include "report/task_progress.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "core/log.h"
#include "tests/support/catch.h"
#include "tests/support/stderr_of.h"
#include "tests/support/user_error.h"

using lococo::TaskProgress;
using lococo::testing::stderr_of;
using std::chrono::seconds;

namespace {

/// What `write` prints when stderr is a terminal.
template <typename Write>
std::string terminal_of(const Write& write) {
  const int controller = posix_openpt(O_RDWR | O_NOCTTY);
  REQUIRE(controller >= 0);
  REQUIRE(grantpt(controller) == 0);
  REQUIRE(unlockpt(controller) == 0);
  const int terminal = open(ptsname(controller), O_RDWR | O_NOCTTY);
  REQUIRE(terminal >= 0);
  std::fflush(stderr);
  const int saved = dup(STDERR_FILENO);
  dup2(terminal, STDERR_FILENO);
  write();
  std::fflush(stderr);
  dup2(saved, STDERR_FILENO);
  close(saved);
  fcntl(controller, F_SETFL, O_NONBLOCK);
  std::string text(65536, '\0');
  const ssize_t length = read(controller, text.data(), text.size());
  close(terminal);
  close(controller);
  text.resize(static_cast<size_t>(std::max<ssize_t>(0, length)));
  return text;
}

int64_t count(const std::string& text, char c) { return std::count(text.begin(), text.end(), c); }

}  // namespace

TEST_CASE("A task's line has its share, its rate and the time that is left", "[report][progress]") {
  CHECK(lococo::task_progress_text("tokenising a.txt", "bytes", 1'200'000, 4'800'000, 6.0) ==
        "tokenising a.txt  25%  1.20M/4.80M bytes  200.00k bytes/s  ETA 0:00:18");
  CHECK(lococo::task_progress_text("evaluation", "segments", 3, 7, 3.0) ==
        "evaluation  42%  3/7 segments  1.0 segments/s  ETA 0:00:04");
  CHECK(lococo::task_progress_text("reading", "tokens", 512, 0, 0.5) ==
        "reading  512 tokens  1.02k tokens/s");
  CHECK(lococo::task_progress_text("started", "tokens", 0, 9, 0.0) ==
        "started  0%  0/9 tokens  0.0 tokens/s");
  // More than was expected: never above the whole, and no time below zero.
  CHECK(lococo::task_progress_text("more", "bytes", 30, 20, 10.0) ==
        "more  100%  30/20 bytes  3.0 bytes/s  ETA 0:00:00");
}

TEST_CASE("In a file a task writes a line each ten seconds", "[report][progress]") {
  lococo::configure_log(lococo::LogLevel::kInfo, true);
  const std::string text = stderr_of([] {
    TaskProgress progress("work", "tokens", 100);
    const auto start = TaskProgress::Clock::now();
    for (int i = 1; i <= 35; ++i) progress.update(i, start + seconds(i));
  });
  INFO(text);
  CHECK(count(text, '\n') == 3);
  CHECK(text.find("info: work  10%") != std::string::npos);
}

TEST_CASE("A short task, and a task of another rank, says nothing", "[report][progress]") {
  const std::string text = stderr_of([] {
    TaskProgress short_task("work", "tokens", 100);
    short_task.update(100);
    TaskProgress elsewhere("work", "tokens", 100, /*enabled=*/false);
    elsewhere.update(50, TaskProgress::Clock::now() + seconds(60));
  });
  CHECK(text.empty());
}

TEST_CASE("On a terminal a task redraws one line and ends it", "[report][progress]") {
  const std::string text = terminal_of([] {
    TaskProgress progress("work", "tokens", 100);
    const auto start = TaskProgress::Clock::now();
    for (int i = 1; i <= 3; ++i) progress.update(10 * i, start + seconds(i));
  });
  CHECK(count(text, '\n') == 1);
  CHECK_CONTAINS(text, "\r\033[Kwork  30%");
  CHECK(text.back() == '\n');
}
