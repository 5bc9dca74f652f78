// The calls of a kernel that segments and sinks need, and their parts of a batch's tensors.
#pragma once

#include <torch/types.h>

#include <vector>

#include "tensor/pattern/segments.h"

namespace lococo {

/// One call: `queries.count` stretches of tokens in each of `rows` rows, each stretch a row of the
/// kernel's batch.
struct SegmentCall {
  int64_t row = 0, rows = 0;
  HeadRun heads;
  SegmentRun queries;
  /// 0: causal attention of each stretch to itself. Else all stretches attend to the `sinks` keys
  /// from sink_begin on, which all come before them.
  int64_t sinks = 0, sink_begin = 0;

  bool causal() const { return sinks == 0; }
};

/// Every (query, key) that the form lets see is in one call. The causal calls of a query come
/// before that over sinks. A document that all heads have in one segment is one call. H query
/// heads, G key-value heads.
std::vector<SegmentCall> segment_calls(const SegmentForm& form, const Documents& documents,
                                       int64_t B, int64_t H, int64_t G, int64_t L);

/// Queries of a call, [rows, count, h, length, D]: a view of x_BHLD.
torch::Tensor query_view(const torch::Tensor& x_BHLD, const SegmentCall& call);

/// Keys (or values) of a call: a view of x_BGLD, [rows, count, g, length, D], or of its sinks
/// [rows, 1, g, sinks, D].
torch::Tensor key_view(const torch::Tensor& x_BGLD, const SegmentCall& call);

}  // namespace lococo
