// What this process is at, so that other ranks can say it when it does not come to them. All of it
// is the process's own, as its rank is: a process alone notes it too, and nobody asks.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace lococo {

/// What a rank is at, at one moment.
struct Activity {
  bool waits = false;        ///< for `awaited`, else it works
  int64_t step = -1;         ///< of the training, from 1 on; -1: none
  std::string what;          ///< the operation in which it waits, or what it works at; may be empty
  std::vector<int> awaited;  ///< ranks of the world, ascending

  bool operator==(const Activity&) const = default;
};

/// The training step, from 1 on, that this process is in from here on; -1: none.
void note_step(int64_t step);

/// Until its end, what this process does is for this ("gradients", "checkpoint"). The innermost one
/// counts. Of the main thread alone.
class Doing {
 public:
  explicit Doing(const char* what);
  ~Doing();
  Doing(const Doing&) = delete;
  Doing& operator=(const Doing&) = delete;

 private:
  const char* before_;
};

/// Until its end, this process waits for whoever writes its standard input: that takes as long as
/// it takes, and counts as coming on.
class InputWait {
 public:
  InputWait();
  ~InputWait();
  InputWait(const InputWait&) = delete;
  InputWait& operator=(const InputWait&) = delete;
};

/// This process's main thread waits in an operation until the other ranks have come to it. `what`
/// names it ("a barrier"); `ranks`: the others of the world; nothing is noted where there are none.
class HostWait {
 public:
  HostWait(const std::string& what, const std::vector<int>& ranks);
  ~HostWait();
  HostWait(const HostWait&) = delete;
  HostWait& operator=(const HostWait&) = delete;

 private:
  bool noted_;
};

/// How far the stream of a GPU has come: numbers of the operations that it has last arrived at and
/// last left behind.
struct StreamPlace {
  int64_t reached = 0, left = 0;
};

/// The main thread has given the stream an operation that waits for `ranks`. Numbers ascend.
void note_stream_wait(int64_t number, const std::string& what, const std::vector<int>& ranks);

/// What this process is at. A GPU waits in the first operation that it has reached and not left.
Activity current_activity(const StreamPlace& place);

/// Grows with whatever the process begins, ends, or notes as progress; `place` as above.
uint64_t activity_count(const StreamPlace& place);

}  // namespace lococo
