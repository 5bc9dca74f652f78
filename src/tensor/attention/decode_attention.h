// Attention of one new token of each sequence over a cache in static memory: what decoding repeats
// for every token and layer. Everything that changes from token to token lies in device memory, so
// that one CUDA graph serves every size of the cache.
#pragma once

#include <torch/types.h>

#include "tensor/attention/decode_cluster_kernel.h"

namespace lococo {

/// One layer's cache of capacity C. Slots behind those in use hold finite numbers of no meaning.
struct DecodeCache {
  torch::Tensor k_BGCD;    ///< contiguous, or the first C slots of contiguous memory of more
  torch::Tensor v_BGCD;    ///< like k
  torch::Tensor mass_BGC;  ///< float32, column sums of attention, strided like k; undefined: not
                           ///< wanted
  torch::Tensor place_BGC =
      {};  ///< int32, the row of angles of each slot's key; undefined: its number
  torch::Tensor score_BGC = {};  ///< float32, what a gate says of each token; not read here
};

/// Where the new token of each sequence stands. The tables are those of model/rope.h: float32, the
/// halves of D equal.
struct DecodePosition {
  torch::Tensor cursor_B2;  ///< int32 [B, 2]: slot of the new token, row of its angles
  torch::Tensor cos_RXD;    ///< R = 1: all sequences share the table; R = B: each has its own.
                            ///< X > the rows of cursor_B2
  torch::Tensor sin_RXD;
  /// The cache holds keys before RoPE: rotate each by its slot number (row s is slot s's; R = 1 and
  /// X >= C then), or by the cache's places.
  bool rotate_cache = false;
};

/// The kernels that DecodeAttention has: for parts of a cache through global memory, and for thread
/// block clusters, where the GPU has them and a cluster's shared memory holds a head's cache.
enum class DecodeKernel { Fastest, Parts, Clusters };

/// The project's own kernels for bfloat16 on a GPU with D 64, 96 or 128; tensor operations
/// elsewhere. Made once for a shape; holds the workspace of a kernel that needs one.
class DecodeAttention {
 public:
  /// `like`: a tensor of the dtype and device of the cache. `distance`: the mass takes only
  /// attention to slots at least so far before the new one; 0: all. `kernel`: which is taken where
  /// there is a choice.
  DecodeAttention(int64_t B, int64_t H, int64_t G, int64_t C, int64_t D, const torch::Tensor& like,
                  int64_t distance = 0, DecodeKernel kernel = DecodeKernel::Fastest);

  /// q_BHD, k_BGD and v_BGD of the new token, before RoPE; the heads of a sequence lie side by
  /// side, so that all three may be parts of one product. Writes the token's key and value to its
  /// sequence's slot, lets the query see slots 0 .. slot (scale 1 / sqrt(D)), and adds what each
  /// slot received from all query heads of its group to the mass; the new slot's mass begins with
  /// this. Returns out_BHD in the dtype of q. No gradient, no wait for the device. What the cache
  /// holds of slots before the new one, and the cursor, may be read while kernels that were
  /// launched through launch_dependent() still run: they must come from work before those.
  torch::Tensor forward(const torch::Tensor& q_BHD, const torch::Tensor& k_BGD,
                        const torch::Tensor& v_BGD, DecodeCache& cache,
                        const DecodePosition& position);

  /// Whether forward() runs a kernel, and whether that is the one for clusters for a cache whose
  /// keys it turns, or does not (DecodePosition).
  bool has_kernel() const { return has_kernel_; }
  bool uses_clusters(bool rotate_cache) const;

 private:
  DecodeAttentionShape kernel_shape(bool rotate_cache) const;
  torch::Tensor forward_kernel(const torch::Tensor& q_BHD, const torch::Tensor& k_BGD,
                               const torch::Tensor& v_BGD, DecodeCache& cache,
                               const DecodePosition& position);

  int64_t B_, H_, G_, C_, D_, distance_;
  DecodeKernel kernel_;
  bool has_kernel_ = false;
  DecodeClusterPlan clusters_;
  int64_t keys_per_split_ = 0;
  torch::Tensor scores_BHC_, partial_, statistics_, arrivals_;  // of DecodeKernel::Parts
};

/// The slow, obviously right form behind DecodeAttention::forward(): softmax in float32 (float64
/// for float64 inputs), any device and dtype.
torch::Tensor decode_attention_reference(const torch::Tensor& q_BHD, const torch::Tensor& k_BGD,
                                         const torch::Tensor& v_BGD, DecodeCache& cache,
                                         const DecodePosition& position, int64_t distance = 0);

}  // namespace lococo
