// The CUDA kernel behind DecodeAttention for GPUs with thread block clusters (compute capability
// 9.0 on) and caches of which a cluster's shared memory holds a head.
#pragma once

#include "tensor/attention/decode_attention_kernel.h"

namespace lococo {

/// How the kernel runs a shape on a device. A cluster of blocks takes one (sequence, key-value
/// head) pair after another; each block has its part of the pair's keys and values in shared
/// memory.
struct DecodeClusterPlan {
  int cluster = 0;   ///< blocks of a cluster: 1, 2, 4 or 8; 0: the kernel does not fit
  int keys = 0;      ///< that a block has room for; ceil(C / cluster)
  int clusters = 0;  ///< of the grid
  int rounds = 0;    ///< pairs that a cluster takes
};

/// For the current device. Of `shape` it reads batch, kv_heads, group, capacity and head_dim.
DecodeClusterPlan plan_decode_clusters(const DecodeAttentionShape& shape);

/// Whether the plan runs faster than launch_decode_attention(). Of `shape` it reads group and
/// rotate_cache.
bool is_faster_in_clusters(const DecodeAttentionShape& shape, const DecodeClusterPlan& plan);

/// What launch_decode_attention() does, the same tensors without `scores`, `partial`, `statistics`
/// and `arrivals`. Results repeat bit for bit. If shape.overlap, the cursor, and what the cache
/// holds of slots before the new one (keys, values, mass, places), are read while kernels before
/// may still run: an ordinary launch, or the start of a CUDA graph, must lie between the kernel
/// that wrote them and this one.
void launch_decode_clusters(const DecodeAttentionTensors& tensors,
                            const DecodeAttentionShape& shape, const DecodeClusterPlan& plan,
                            CUstream_st* stream);

}  // namespace lococo
