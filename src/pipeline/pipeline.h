// A rank's place in a pipeline of stages, of which there may be several replicas, and its lines to
// the others.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <memory>
#include <optional>

#include "dist/communicator.h"
#include "model/layer_range.h"

namespace lococo {

/// Ranks of one replica are neighbours: rank = replica * stages + stage.
struct GridPlace {
  int stages = 1, replicas = 1;
  int stage = 0, replica = 0;

  bool is_first() const { return stage == 0; }
  bool is_last() const { return stage + 1 == stages; }
};

/// Where `rank` of `ranks` stands with that many stages. Throws UserError unless they divide the
/// ranks.
GridPlace place_in_grid(int64_t stages, int rank, int ranks);

/// Which of many pieces of work that do not depend on each other a rank has: `first`, and every
/// `step`-th from there. All stages of a replica have the same.
struct WorkShare {
  int64_t first = 0, step = 1;
  bool reports = true;  ///< what comes of it is here, and not with another stage
};

class Pipeline;
/// `pipeline` may be null.
WorkShare share_of(const Communicator& world, const Pipeline* pipeline);

class Pipeline {
 public:
  /// `world` must live as long; a collective call. `part`: what this stage holds. `device`: of what
  /// stages tell each other.
  Pipeline(const GridPlace& place, const LayerRange& part, Communicator& world,
           torch::Device device);

  const GridPlace& place() const { return place_; }
  const LayerRange& part() const { return part_; }

  /// The ranks that hold the same layers, by replica: their gradients are summed.
  Communicator& replicas() { return *replicas_; }
  /// The ranks of this replica, by stage.
  Communicator& stages() { return *stages_; }

  // Hidden states go to the next stage, their gradients to the one before, each way on a channel of
  // its own: two stages that send to each other do not wait for each other.
  std::unique_ptr<Message> send_on(const torch::Tensor& hidden);
  std::unique_ptr<Message> receive_from_before(torch::Tensor& hidden);
  std::unique_ptr<Message> send_back(const torch::Tensor& gradient);
  std::unique_ptr<Message> receive_from_next(torch::Tensor& gradient);

 private:
  void connect(torch::Device device);

  GridPlace place_;
  LayerRange part_;
  std::unique_ptr<Communicator> replicas_, stages_;
  std::unique_ptr<Channel> on_, back_;  ///< gone before the communicators
};

/// The layers of this stage; nullopt without a pipeline: all.
std::optional<LayerRange> part_of(const Pipeline* pipeline);

}  // namespace lococo
