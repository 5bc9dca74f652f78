// The choice of what a cache keeps, made differentiable: instead of leaving keys out, it adds to
// their attention logits.
#pragma once

#include <torch/types.h>

#include <cstdint>

namespace lococo {

/// A hard cache keeps the first `sinks` keys, the `local` newest, of the candidates between these
/// the `alone` with the largest score, and of the remaining ones the `massed` with the largest
/// other score.
struct SoftKeep {
  int64_t sinks = 0;
  int64_t local = 0;
  int64_t alone = 0;
  int64_t massed = 0;
  double temperature = 1.0;  ///< of the gates; towards 0 the choice becomes the hard one

  /// Of S keys, those between the sinks and the newest.
  int64_t candidates(int64_t S) const { return S - sinks - local; }
  /// Whether S keys leave nothing to choose.
  bool keeps_all(int64_t S) const { return alone + massed >= candidates(S); }
};

/// log keep_BGS, what each key's attention logit gets added. Of the candidates, with temperature T,
///   a = sigmoid((score - tau1) / T), tau1 such that a sums to `alone`,
///   b = sigmoid((massed - tau2) / T), tau2 such that (1 - a) b sums to `massed`,
///   log keep = log(a + (1 - a) b), at least -30;
/// sinks and newest keys have 0, and so have all where all candidates fit (no gradient then).
/// score_BGS and massed_BGS are finite float32 or float64 of one shape; massed_BGS may be undefined
/// when keep.massed is 0. The gradient to both is exact, the moving thresholds included, but that
/// of a log keep at its least is cut; it is not differentiable once more. No host synchronisation.
///
/// float32, on a GPU with S up to 16384: one kernel for each direction, which repeat bit for bit
/// (tensors that are not contiguous are copied). float32 on a CPU: soft_keep_cpu(). Anything else,
/// longer sequences on a GPU too, is soft_keep_reference(), many small operations in float64.
torch::Tensor soft_keep(const torch::Tensor& score_BGS, const torch::Tensor& massed_BGS,
                        const SoftKeep& keep);

}  // namespace lococo
