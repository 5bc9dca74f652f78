// How long a rank waits for others.
#pragma once

#include <torch/types.h>

#include <vector>

#include "dist/observed_communicator.h"

namespace lococo {

/// Seconds of one rank, for other ranks to come and for the bytes to move.
struct CommunicationTime {
  double collectives = 0;  ///< sums over ranks and what else all do together
  double messages = 0;     ///< between the stages of a pipeline

  double total() const { return collectives + messages; }
};

/// Of a GPU's tensors: the time that its stream stands at an operation, by its own clock, without
/// making the host wait; what goes on beside the stream's work and is done when the stream comes to
/// it takes no time. Of numbers and on CPUs: the time in the call.
class CommunicationClock : public WaitObserver {
 public:
  explicit CommunicationClock(torch::Device device);
  ~CommunicationClock() override;

  std::shared_ptr<void> begin(const std::string& what, const std::vector<int>& ranks,
                              WaitFor kind) override;

  /// All waits since the last call; waits for the GPU.
  CommunicationTime take();

 private:
  struct StreamInterval;
  class HostInterval;

  torch::Device device_;
  CommunicationTime on_host_;
  std::vector<std::shared_ptr<StreamInterval>> on_stream_;
};

}  // namespace lococo
