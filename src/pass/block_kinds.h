// Blocks of step plans run on memory that stays where it is, so that each kind of block can be
// recorded as a CUDA graph once and replayed.
#pragma once

#include <functional>
#include <map>
#include <tuple>

#include "lococo/step_plan.h"
#include "model/llama.h"
#include "tensor/kit/repeated_work.h"

namespace lococo {

/// A kind of block is everything of a BlockStep but its place in the sequence: a plan with a cache
/// policy has three or four kinds, however long it is. (With a cache that grows with the sequence
/// no two blocks of a plan are of one kind.)
class BlockKinds {
 public:
  struct Kind {
    AttentionInput input;   ///< of its latest block, at addresses that do not change
    RepeatedWork work;      ///< all of it, or its forward pass
    RepeatedWork backward;  ///< where that is run by itself
    bool has_backward = false;
  };

  /// The kind of a block, with the block's input.
  Kind& kind_of(Llama& model, const BlockStep& step, torch::Device device);

  /// Runs `work` for one block; it finds the block's step and tables at addresses that do not
  /// change, and all else that it touches must stay where it is too (RepeatedWork).
  void run(Llama& model, const BlockStep& step, torch::Device device, bool may_record,
           const std::function<void(const AttentionInput&)>& work);

  /// Forgets all kinds with their recordings: something that they hold has moved.
  void clear() { kinds_.clear(); }

 private:
  using Key = std::tuple<int64_t, int64_t, bool, bool, int64_t>;  // cached, length, compress,
                                                                  // detach, places of the frame
  /// What changes from block to block of a kind, put where the kind has it.
  static void refresh(const AttentionInput& fresh, AttentionInput* kept);

  std::map<Key, Kind> kinds_;
};

}  // namespace lococo
