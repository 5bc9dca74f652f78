// What the stages of one model tell each other while they decode.
#pragma once

#include <torch/types.h>

#include <memory>

#include "pipeline/pipeline.h"

namespace lococo {

/// Hidden states from stage to stage. All stages make the same calls in the same order, but that
/// the first one receives nothing and the last one sends nothing.
class StageLine {
 public:
  virtual ~StageLine() = default;

  /// The stage before's next hidden states, in place; contiguous, of the size that it sends.
  virtual void receive(torch::Tensor& hidden) = 0;
  /// Goes to the next stage as it is now; does not wait until it has come there.
  virtual void send(const torch::Tensor& hidden) = 0;
  /// The last stage's tensor over everybody's, in place.
  virtual void share(torch::Tensor& tensor) = 0;
  /// Waits until all stages are here.
  virtual void meet() = 0;
};

/// Null without a pipeline, which must live as long.
std::shared_ptr<StageLine> make_stage_line(Pipeline* pipeline);

}  // namespace lococo
