// Ctrl-C ends an answer, not the conversation.
#pragma once

#include <csignal>

namespace lococo {

/// While it lives the first SIGINT is only remembered; a second one ends the process as usual. One
/// at a time.
class InterruptGuard {
 public:
  InterruptGuard();
  ~InterruptGuard();
  InterruptGuard(const InterruptGuard&) = delete;
  InterruptGuard& operator=(const InterruptGuard&) = delete;

  bool interrupted() const;

 private:
  struct sigaction before_ = {};
};

}  // namespace lococo
