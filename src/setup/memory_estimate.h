// What a run will need on one GPU, from its shapes alone.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "config/config.h"
#include "core/model_shape.h"
#include "model/layer_range.h"
#include "model/registry.h"

namespace lococo {

struct MemoryEstimate {
  int64_t weights_bytes = 0;    ///< bytes_of_weight() of all
  int64_t gradients_bytes = 0;  ///< float32, trained only
  int64_t optimizer_bytes = 0;  ///< AdamW's two moments, float32; of this rank where sharded
  int64_t cache_bytes = 0;      ///< keys, values and column mass of all layers
  /// Kept between forward and backward of one block, or of the whole sequence.
  int64_t activations_bytes = 0;
  /// For a moment: logits of one chunk, or a recomputed layer; a quantised matrix made dense; and
  /// what the libraries hold.
  int64_t workspace_bytes = 0;
  int64_t total() const {
    return weights_bytes + gradients_bytes + optimizer_bytes + cache_bytes + activations_bytes +
           workspace_bytes;
  }
  std::string text() const;  ///< one line each, GiB
};

/// Bytes of one weight: trained in float32, frozen in model.dtype, or as model.base_precision says.
int64_t bytes_of_weight(const Config& config, const RegisteredParameter& parameter);

/// A training, as one process of it needs memory.
struct TrainingLoad {
  const Config& config;
  const ModelShape& shape;
  const std::vector<RegisteredParameter>& parameters;  ///< those of `part`
  LayerRange part = all_layers(shape);
  /// Blocks, or micro-batches of whole sequences, whose backward pass is still to come, at most.
  int64_t in_flight = 1;
  int64_t ranks = 1;  ///< what distributed.shard_optimizer divides AdamW's moments by

  /// The same with another config, which must live as long.
  TrainingLoad with(const Config& other) const {
    return {other, shape, parameters, part, in_flight, ranks};
  }
};

/// An estimate for a GPU in bfloat16, within about a twentieth where the fused kernels run: on a
/// CPU, in float32 and for other shapes the reference operations keep more. The allocator's own
/// overhead is not in it.
MemoryEstimate estimate_memory(const TrainingLoad& load);

/// The longest data.context_length, a multiple of 256, whose estimate is at most `bytes`; 0 if
/// there is none, or if none is shorter than the config's.
int64_t longest_context(const TrainingLoad& load, int64_t bytes);

}  // namespace lococo
