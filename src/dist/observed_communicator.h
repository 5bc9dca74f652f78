// A communicator that tells somebody of its waits.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "dist/communicator.h"

namespace lococo {

/// What an operation moves: its tensors may be a GPU's, whose stream then waits and not this
/// thread.
enum class WaitFor { kNumbers, kTensors, kMessage };

/// Told of every wait for other ranks.
class WaitObserver {
 public:
  virtual ~WaitObserver() = default;

  /// `what` ("a barrier") begins to wait for `ranks`, the others of the outermost observed
  /// communicator that have to come to it; there may be none. What is returned lives until the
  /// host is through with it, and the current stream has been given all of it.
  virtual std::shared_ptr<void> begin(const std::string& what, const std::vector<int>& ranks,
                                      WaitFor kind) = 0;
};

/// All ranks, as `world`, whose every operation, and that of its parts and channels, is told to
/// `observer`.
std::unique_ptr<Communicator> observe_ranks(std::unique_ptr<Communicator> world,
                                            std::shared_ptr<WaitObserver> observer);

}  // namespace lococo
