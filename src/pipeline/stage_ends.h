// Where hidden states enter and leave a stage that decodes.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <memory>

#include "model/llama.h"
#include "pipeline/stage_line.h"

namespace lococo {

/// Buffers that stay where they are, for recorded work, and their line to the other stages. Of the
/// whole model, which needs no line, nothing enters, leaves or is shared. Rows [first, first +
/// count) of a batch are told from others by their place.
class StageEnds {
 public:
  /// For `rows` rows of at most `tokens` tokens at a time, on `device`.
  StageEnds(const Llama& model, std::shared_ptr<StageLine> line, int64_t rows, int64_t tokens,
            torch::Device device);

  /// Hidden states [count, L, E]. The first stage has none that enter, the last none that leave.
  torch::Tensor entering(int64_t first, int64_t count, int64_t L) const;
  torch::Tensor leaving(int64_t first, int64_t count, int64_t L) const;

  /// From the stage before, into entering(); nothing on the first stage.
  void receive(int64_t first, int64_t count, int64_t L) const;
  /// leaving() to the next stage; nothing on the last one.
  void send(int64_t first, int64_t count, int64_t L) const;

  /// The last stage's values of `own`, which has one shape and dtype everywhere.
  torch::Tensor shared(torch::Tensor own) const;
  /// Waits until all stages are here.
  void meet() const;

 private:
  torch::Tensor part_of(const torch::Tensor& flat, int64_t first, int64_t count, int64_t L) const;

  std::shared_ptr<StageLine> line_;
  int64_t tokens_, width_;
  torch::Tensor entering_, leaving_;  ///< flat; undefined where nothing enters or leaves
};

}  // namespace lococo
