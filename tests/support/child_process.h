// A call in a process of its own, for what ends a process.
#pragma once

#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <exception>
#include <string>

#include "tests/support/catch.h"

namespace lococo::testing {

struct ChildResult {
  int exit_code = -1;  ///< -1 when a signal ended it
  int signal = 0;      ///< the signal that ended it, or 0
  std::string err;     ///< what it wrote to stderr
};

/// A child on its way.
struct Child {
  pid_t pid;
  int err;  ///< the reading end of its stderr
};

/// Runs `body` in a child: exit code 0 when it returns, 99 when it throws.
template <typename Body>
Child start_child(const Body& body) {
  int channel[2];
  REQUIRE(pipe(channel) == 0);
  const pid_t pid = fork();
  REQUIRE(pid >= 0);
  if (pid == 0) {
    dup2(channel[1], STDERR_FILENO);
    close(channel[0]);
    close(channel[1]);
    try {
      body();
    } catch (const std::exception& error) {
      dprintf(STDERR_FILENO, "%s\n", error.what());
      _exit(99);
    }
    _exit(0);
  }
  close(channel[1]);
  return {pid, channel[0]};
}

inline ChildResult wait_for(const Child& child) {
  ChildResult result;
  std::array<char, 4096> buffer;
  while (true) {
    const ssize_t length = read(child.err, buffer.data(), buffer.size());
    if (length <= 0) break;
    result.err.append(buffer.data(), static_cast<size_t>(length));
  }
  close(child.err);
  int status = 0;
  REQUIRE(waitpid(child.pid, &status, 0) == child.pid);
  if (WIFEXITED(status)) result.exit_code = WEXITSTATUS(status);
  if (WIFSIGNALED(status)) result.signal = WTERMSIG(status);
  return result;
}

template <typename Body>
ChildResult run_in_child(const Body& body) {
  return wait_for(start_child(body));
}

}  // namespace lococo::testing
