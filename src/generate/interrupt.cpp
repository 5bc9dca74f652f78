#include "generate/interrupt.h"

namespace lococo {
namespace {

volatile std::sig_atomic_t came = 0;

void remember(int /*signal*/) { came = 1; }

}  // namespace

InterruptGuard::InterruptGuard() {
  came = 0;
  struct sigaction action = {};
  action.sa_handler = remember;
  action.sa_flags = SA_RESTART | SA_RESETHAND;  // the next one finds the default action
  sigaction(SIGINT, &action, &before_);
}

InterruptGuard::~InterruptGuard() { sigaction(SIGINT, &before_, nullptr); }

bool InterruptGuard::interrupted() const { return came != 0; }

}  // namespace lococo
