// What autograd and its passes keep of a training, in bytes, from shapes alone: the parts of the
// estimate in memory_estimate.h.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <vector>

#include "config/config.h"
#include "core/model_shape.h"
#include "model/registry.h"

namespace lococo {

constexpr int64_t kFloatBytes = 4;

/// Of an activation, or of a frozen weight that is not quantised.
int64_t element_bytes(const ModelConfig& model);

/// What the memory of a training's passes depends on, in tokens and bytes.
struct PassShape {
  const Config& config;
  const ModelShape& shape;
  int64_t element = 2;               ///< bytes of an activation
  int64_t B = 0, L = 0, S = 0;       ///< rows, tokens of one backward pass, keys they attend to
  bool blockwise = false;            ///< keys and values lie in the caches
  bool recompute = false;            ///< activation checkpointing
  int64_t q_width = 0, k_width = 0;  ///< elements of a token's queries and of its keys

  /// Rows packed with documents, which are calls of their own.
  bool has_documents() const { return !config.data.records.empty(); }
  bool has_segments() const { return !blockwise && config.attention.pattern != PatternKind::kFull; }
};

/// The matrices whose input or float32 master matters: those with LoRA or in training.
class TrainedMatrices {
 public:
  explicit TrainedMatrices(const std::vector<RegisteredParameter>& parameters);
  /// Whether one whose name has one of the parts in it is among them.
  bool any(std::initializer_list<const char*> parts) const;

  int64_t cast_elements = 0;  ///< of the layers' masters, whose copies for computing are kept

 private:
  std::string names_;
};

PassShape pass_shape(const Config& config, const ModelShape& shape);

/// Bytes that autograd keeps of one decoder layer for each token when nothing is recomputed: the
/// residual stream at both norms with 1 / rms, q, attention's output and log-sum-exp, gate and up;
/// k and v too unless the caches hold them; and the inputs of projections that are trained.
int64_t layer_bytes_per_token(const PassShape& run, const TrainedMatrices& trained);

/// Bytes that one layer's compression keeps for its convolutions' gradient: all keys and values
/// that are mixed side by side, the convolution's output over them, and the mixtures.
/// Its weights packed for the kernels, half a percent of a 7B run, are left out.
int64_t mixture_bytes(const PassShape& run);

/// Bytes that the soft form of one layer's cache keeps (soft/soft_sequence.h): q, k and v with
/// more channels, and of each block's earlier keys the choice and the mass. The fewest slots
/// have the most blocks.
int64_t teaching_bytes(const PassShape& run);

/// What one layer's recomputation and its backward pass need at the peak: the gradient of its first
/// half, the first half again with what it keeps (normed, q, k, v, and attention's output where
/// that is recomputed), and either attention's backward pass or the feed-forward's, some rows at a
/// time.
int64_t recomputation_bytes(const PassShape& run, const TrainedMatrices& trained);

/// Bytes for each token of what one layer's attention leaves for its gradient: output and
/// log-sum-exp.
int64_t attention_bytes_per_token(const PassShape& run);

/// Logits of one chunk and their gradient, and the gradients of what goes in.
int64_t loss_bytes(const PassShape& run, const TrainedMatrices& trained);

}  // namespace lococo
