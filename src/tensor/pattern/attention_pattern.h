// Which earlier tokens a query sees when a whole sequence goes through the model at once: all of
// its document, or segments and sinks (segments.h). One object serves all layers of a model.
#pragma once

#include <torch/types.h>

#include <memory>
#include <string>
#include <vector>

#include "config/attention_config.h"
#include "tensor/attention/attention_recall.h"
#include "tensor/pattern/segments.h"

namespace lococo {

/// What one forward leaves for its backward pass.
struct PatternMemo {
  torch::Tensor out_BHLD;            ///< undefined: nothing is kept yet
  torch::Tensor lse_BHL;             ///< of all that a query saw; undefined where `calls` say it
  std::vector<AttentionMemo> calls;  ///< of the kernels that ran, in order; their outputs left out
  /// Nobody needs q, k and v after the backward pass of recall(): their gradients may overwrite
  /// them, where that saves memory.
  bool overwrites = false;
};

/// Shapes, dtypes, devices and backends as in causal_attention() with L = S. `documents` names
/// ranges of the rows (as many rows as B), or is empty. Queries outside all documents get 0.
/// Gradients reach q, k and v.
class AttentionPattern {
 public:
  virtual ~AttentionPattern() = default;

  virtual torch::Tensor attend(const torch::Tensor& q_BHLD, const torch::Tensor& k_BGLD,
                               const torch::Tensor& v_BGLD, const Documents& documents) const = 0;

  /// The same without gradients, and what its backward pass needs (attention_recall.h).
  virtual PatternMemo remember(const torch::Tensor& q_BHLD, const torch::Tensor& k_BGLD,
                               const torch::Tensor& v_BGLD, const Documents& documents) const = 0;

  /// The output that remember() computed for the same arguments, which is not computed again unless
  /// the backend is the reference; its gradient reaches q, k and v.
  virtual torch::Tensor recall(const torch::Tensor& q_BHLD, const torch::Tensor& k_BGLD,
                               const torch::Tensor& v_BGLD, const Documents& documents,
                               const PatternMemo& memo) const = 0;
};

/// Every query sees all of its document up to itself.
std::shared_ptr<const AttentionPattern> make_full_pattern(AttentionBackend backend);

/// Segments and sinks within each document. kReference is a dense mask, all else the fused kernels
/// of the backend over segments (segment_attention.h).
std::shared_ptr<const AttentionPattern> make_segment_pattern(const SegmentForm& form,
                                                             AttentionBackend backend);

}  // namespace lococo
