#include "dist/activity.h"

#include <atomic>
#include <deque>
#include <mutex>
#include <optional>

#include "core/progress_count.h"

namespace lococo {
namespace {

struct Operation {
  std::string what;
  std::vector<int> ranks;
};

struct StreamOperation {
  int64_t number = 0;
  Operation operation;
};

/// Written by the main thread, read by the one that tells the others.
struct Board {
  std::mutex mutex;
  int64_t step = -1;
  const char* doing = nullptr;
  std::optional<Operation> on_host;
  std::deque<StreamOperation> on_stream;
};

Board& board() {
  static Board& only = *new Board;  // the thread that tells may outlive exit()'s destructors
  return only;
}

std::atomic<int> waits_for_input{0};

/// "a barrier (checkpoint)".
std::string named(const std::string& what, const char* doing) {
  return doing == nullptr ? what : what + " (" + doing + ")";
}

void forget_what_is_over(Board& here, const StreamPlace& place) {
  while (!here.on_stream.empty() && here.on_stream.front().number <= place.left)
    here.on_stream.pop_front();
}

}  // namespace

void note_step(int64_t step) {
  const std::lock_guard lock(board().mutex);
  board().step = step;
  note_progress();
}

Doing::Doing(const char* what) {
  const std::lock_guard lock(board().mutex);
  before_ = board().doing;
  board().doing = what;
  note_progress();
}

Doing::~Doing() {
  const std::lock_guard lock(board().mutex);
  board().doing = before_;
  note_progress();
}

InputWait::InputWait() { ++waits_for_input; }
InputWait::~InputWait() { --waits_for_input; }

HostWait::HostWait(const std::string& what, const std::vector<int>& ranks)
    : noted_(!ranks.empty()) {
  if (!noted_) return;
  const std::lock_guard lock(board().mutex);
  board().on_host = Operation{named(what, board().doing), ranks};
  note_progress();
}

HostWait::~HostWait() {
  if (!noted_) return;
  const std::lock_guard lock(board().mutex);
  board().on_host.reset();
  note_progress();
}

void note_stream_wait(int64_t number, const std::string& what, const std::vector<int>& ranks) {
  const std::lock_guard lock(board().mutex);
  board().on_stream.push_back({number, {named(what, board().doing), ranks}});
}

Activity current_activity(const StreamPlace& place) {
  const std::lock_guard lock(board().mutex);
  Board& here = board();
  forget_what_is_over(here, place);
  const Operation* operation = here.on_host ? &*here.on_host : nullptr;
  const bool stream_waits =
      !here.on_stream.empty() && here.on_stream.front().number <= place.reached;
  if (operation == nullptr && stream_waits) operation = &here.on_stream.front().operation;
  Activity activity;
  activity.step = here.step;
  if (operation == nullptr) {
    if (here.doing != nullptr) activity.what = here.doing;
    return activity;
  }
  activity.waits = true;
  activity.what = operation->what;
  activity.awaited = operation->ranks;
  return activity;
}

uint64_t activity_count(const StreamPlace& place) {
  if (waits_for_input > 0) note_progress();
  return progress_count.load(std::memory_order_relaxed) + static_cast<uint64_t>(place.reached) +
         static_cast<uint64_t>(place.left);
}

}  // namespace lococo
