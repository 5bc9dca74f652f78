// One call of causal attention, timed.
#pragma once

#include <torch/types.h>

#include <optional>
#include <vector>

#include "bench/report.h"
#include "bench/timing.h"
#include "config/attention_config.h"

namespace lococo {

/// Letters as in tensor/kit/shape.h.
struct AttentionSize {
  int64_t B = 1, H = 1, G = 1, L = 1, S = 1, D = 1;

  /// Of the forward pass, counting only what the causal mask leaves.
  double flops() const;
};

/// Seconds of one call.
struct AttentionTimes {
  Spread forward;
  Spread both;  ///< forward and backward to q, k and v
};

/// The library's fused kernels that take such tensors: flash and cuDNN on a GPU in bfloat16, else
/// what kAuto stands for.
std::vector<AttentionBackend> library_backends(torch::TensorOptions options);

/// Nothing where the backend refuses the shape or the memory does not suffice. q, k and v lie as
/// the model lays them: [B, L, H, D] seen as [B, H, L, D].
std::optional<AttentionTimes> time_attention(const AttentionSize& size,
                                             torch::TensorOptions options, AttentionBackend backend,
                                             const Rounds& rounds = {});

}  // namespace lococo
