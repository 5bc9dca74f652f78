#include "train/signals.h"

#include <unistd.h>

#include <atomic>
#include <csignal>

namespace lococo {
namespace {

// Signal handlers may only touch lock-free atomics.
std::atomic<int> first_signal{0};
std::atomic<bool> asked_to_end{false};
static_assert(std::atomic<int>::is_always_lock_free && std::atomic<bool>::is_always_lock_free);

bool may_repeat(int signal) { return signal == SIGUSR1 || signal == SIGHUP; }

void handle(int signal) {
  if (!may_repeat(signal) && asked_to_end.exchange(true)) _exit(128 + signal);
  int none = 0;
  first_signal.compare_exchange_strong(none, signal);
}

}  // namespace

void install_signal_handlers() {
  struct sigaction action {};
  action.sa_handler = handle;
  sigemptyset(&action.sa_mask);
  action.sa_flags = SA_RESTART;  // file and network calls go on as if nothing had happened
  for (int signal : {SIGINT, SIGTERM, SIGUSR1}) sigaction(signal, &action, nullptr);
  struct sigaction hangup {};
  sigaction(SIGHUP, nullptr, &hangup);
  if (hangup.sa_handler != SIG_IGN) sigaction(SIGHUP, &action, nullptr);
  std::signal(SIGXFSZ, SIG_IGN);
}

void restore_signal_handlers() {
  for (int signal : {SIGINT, SIGTERM, SIGUSR1, SIGHUP}) {
    struct sigaction action {};
    sigaction(signal, nullptr, &action);
    if (action.sa_handler == handle) std::signal(signal, SIG_DFL);
  }
}

std::optional<int> pending_signal() {
  const int signal = first_signal.load();
  if (signal == 0) return std::nullopt;
  return signal;
}

int exit_code_of(int signal) { return 128 + (signal == SIGUSR1 ? SIGTERM : signal); }

void clear_pending_signal() {
  first_signal = 0;
  asked_to_end = false;
}

}  // namespace lococo
