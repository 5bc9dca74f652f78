// Ends all ranks when one of them does not come.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <thread>
#include <vector>

#include "dist/communicator.h"
#include "dist/heartbeat_socket.h"
#include "dist/stall.h"
#include "dist/stream_marks.h"

namespace lococo {

/// A thread that tells all other ranks what this one is at, several times in `timeout_s` and at
/// most once a second, hears the same of them, and ends this process with code 1 when this rank has
/// waited for so long in vain (describe_stall): with one line by one rank, upon which the launcher
/// and the others' watches end the rest. A process that was stopped as a whole (SIGSTOP, a
/// suspended machine) does not count the time.
class RankWatch {
 public:
  /// A collective call over all ranks of the world. `marks`: null without a GPU. Throws UserError
  /// when this process gets no socket.
  RankWatch(Communicator& world, int64_t timeout_s, std::shared_ptr<StreamMarks> marks);
  ~RankWatch();
  RankWatch(const RankWatch&) = delete;
  RankWatch& operator=(const RankWatch&) = delete;

 private:
  void run();
  void hear(const std::vector<std::string>& datagrams);
  void tick(double seconds);
  void tell_who_was_never_heard(double seconds);
  void end_all(const std::string& stall);

  int rank_, size_;
  double timeout_s_, interval_s_;
  std::shared_ptr<StreamMarks> marks_;
  uint64_t run_ = 0;  ///< which run's ranks these are
  HeartbeatSocket socket_;
  std::vector<KnownRank> ranks_;
  uint64_t last_count_ = 0;
  double watched_s_ = 0;
  bool told_ = false;     ///< who was never heard
  double in_vain_s_ = 0;  ///< since this rank has known that it waits in vain
  std::atomic<bool> over_{false};
  std::thread thread_;
};

}  // namespace lococo
