// The order of work of the soft form of a memory, and the mass that its keys gather on the way.
#pragma once

#include <torch/types.h>

#include <vector>

#include "soft/soft_cache.h"

namespace lococo {

/// Tokens [begin, end) of a sequence.
struct SoftBlock {
  int64_t begin = 0, end = 0;
  bool compresses = false;  ///< the cache would choose before this block
  double fading = 1.0;      ///< of all masses at that choice, after it
  int64_t length() const { return end - begin; }
};

/// The blocks of a sequence of T tokens, as make_step_plan() has them for a cache without buffer.
std::vector<SoftBlock> soft_blocks(const SoftCache& cache, int64_t T);

/// Attention that each key has received, [B, G, S] float32, without gradient.
class SoftMass {
 public:
  explicit SoftMass(const SoftCache& cache) : wanted_(cache.keep.massed > 0) {}
  bool wanted() const { return wanted_; }
  const torch::Tensor& now() const { return mass_BGS_; }
  /// Fades what there is as the block's choice does, then adds what its queries paid.
  void add(const SoftBlock& block, const torch::Tensor& received_BGS);

 private:
  bool wanted_;
  torch::Tensor mass_BGS_;
};

}  // namespace lococo
