// What a stage has sent and may not overwrite or free yet.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "dist/communicator.h"

namespace lococo {

/// Messages by number, a slot for each of the last `slots` of them.
class Sent {
 public:
  explicit Sent(int64_t slots) : slots_(static_cast<size_t>(slots)) {}

  /// The slot must be free: wait(number) comes before. `tensor`: what was sent, where nobody else
  /// keeps it.
  void put(int64_t number, std::unique_ptr<Message> message, torch::Tensor tensor = {}) {
    slots_[slot_of(number)] = {std::move(tensor), std::move(message)};
  }
  /// Until the message whose slot `number` will take has left.
  void wait(int64_t number) {
    Slot& slot = slots_[slot_of(number)];
    if (slot.message) slot.message->wait();
    slot.message.reset();
    slot.tensor = torch::Tensor();
  }
  void wait_for_all() {
    for (size_t slot = 0; slot < slots_.size(); ++slot) wait(static_cast<int64_t>(slot));
  }

 private:
  struct Slot {
    torch::Tensor tensor;
    std::unique_ptr<Message> message;  ///< gone before the tensor
  };
  size_t slot_of(int64_t number) const { return static_cast<size_t>(number) % slots_.size(); }

  std::vector<Slot> slots_;
};

}  // namespace lococo
