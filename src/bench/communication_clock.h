// How long a rank waits for others.
#pragma once

#include <c10/core/Event.h>
#include <torch/types.h>

#include <memory>
#include <string>
#include <vector>

#include "core/elapsed.h"
#include "dist/observed_communicator.h"

namespace lococo {

/// Seconds of one rank, for other ranks to come and for the bytes to move.
struct CommunicationTime {
  double collectives = 0;  ///< sums over ranks and what else all do together
  double messages = 0;     ///< between the stages of a pipeline

  double total() const { return collectives + messages; }
};

/// Seconds on one clock.
struct WaitInterval {
  double begin = 0, end = 0;
  WaitFor kind = WaitFor::kNumbers;
};

/// What lies in any of the intervals, each moment once: of two waits at the same time that of the
/// one that began first.
CommunicationTime covered_time(std::vector<WaitInterval> intervals);

/// Of a GPU's tensors: the time that its stream stands at an operation, by its own clock, without
/// making the host wait; what goes on beside the stream's work and is done when the stream comes to
/// it takes no time. Of numbers and on CPUs: the time in the call. A host that waits while a stream
/// does counts once.
class CommunicationClock : public WaitObserver {
 public:
  /// Waits for the GPU, as take() does.
  explicit CommunicationClock(torch::Device device);
  ~CommunicationClock() override;

  std::shared_ptr<void> begin(const std::string& what, const std::vector<int>& ranks,
                              WaitFor kind) override;

  /// All waits since the last call.
  CommunicationTime take();

 private:
  struct StreamInterval;
  class HostInterval;

  void restart();

  torch::Device device_;
  SteadyTime started_;
  std::shared_ptr<c10::Event> started_on_stream_;  ///< at started_; null on CPUs
  std::vector<WaitInterval> on_host_;
  std::vector<std::shared_ptr<StreamInterval>> on_stream_;
};

}  // namespace lococo
