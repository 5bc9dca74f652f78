// AdamW's step on several ranks that train one model: gradients are summed over the ranks, and
// every rank updates all weights, or (ZeRO-1, arXiv 1910.02054) its own part of them.
#pragma once

#include <torch/types.h>

#include <string>
#include <vector>

#include "config/train_config.h"
#include "dist/communicator.h"
#include "train/flat_parameters.h"
#include "train/optimizer.h"
#include "weights/state_to_save.h"

namespace lococo {

/// Sharded, each rank holds AdamW's moments of one part of the weights: gradients are summed into
/// the parts, the parts updated, and the weights gathered. On CPUs both ways and all numbers of
/// ranks give the same bits for the same sums of gradients: the norm is a sum over chunks whose
/// order is fixed, and everything else goes element by element. Over NCCL the sums themselves may
/// be rounded in another order.
class DataParallelOptimizer {
 public:
  /// `trainable`: see FlatParameters and AdamW; all ranks give the same. `communicator` must live
  /// as long. `shard` does nothing on one rank. `stages`: ranks that hold the other parts of the
  /// model; the norm of gradients is that of all parts.
  DataParallelOptimizer(std::vector<RegisteredParameter> trainable, const TrainConfig& config,
                        Communicator& communicator, bool shard, Communicator* stages = nullptr);

  /// The whole ones, each with a gradient that backward passes add to, in place.
  const std::vector<RegisteredParameter>& parameters() const { return flat_.parameters(); }

  void zero_grad();

  /// Sums over the ranks the gradients, where this rank needs them, and each tensor of `beside`
  /// (all_reduce_sum). A collective call, as step() and the two of the state.
  void sum_gradients(std::vector<torch::Tensor> beside);

  /// Divides the summed gradients by `divisor`, then scales them by min(1, max_norm / (norm +
  /// 1e-6)), as torch does; max_norm 0: only measures. Returns their 2-norm, as one vector, before
  /// that scaling: 0-dim float32, the same on all ranks. A collective call where sharded or in
  /// stages. Never waits for the GPU.
  torch::Tensor scale_and_clip(double divisor, double max_norm);

  /// AdamW::step(); afterwards every rank has all new weights.
  void step(double lr_factor);

  /// For rank 0 the whole of what AdamW::state() of one rank alone is; save_checkpoint() then
  /// fetches it tensor by tensor while the others are in hand_over(). `this` must live as long.
  StateToSave state_to_save();
  /// Sends what rank 0 asks for; nothing where not sharded.
  static void hand_over(const StateToSave& state);

  /// AdamW::load_state() of a whole state, made by any number of ranks: each takes its part.
  void load_state(const TensorMap& whole);

 private:
  struct Owned {
    int rank = 0;
    FlatSlice slice;
  };
  struct StateName {  ///< one tensor of the whole state
    std::string name;
    size_t parameter = 0;
    bool is_step = false;
  };

  std::vector<RegisteredParameter> updated_here() const;
  std::vector<StateName> state_names() const;
  torch::Tensor own_gradients();
  torch::Tensor gradient_norm();
  torch::Tensor gather(const StateName& wanted, const TensorMap& own);

  Communicator& communicator_;
  Communicator* stages_;
  bool sharded_;
  FlatParameters flat_;
  std::vector<std::vector<Owned>> owners_;  ///< as parameters(), in the order of ranks
  AdamW adamw_;
};

}  // namespace lococo
