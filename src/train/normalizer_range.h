// Keeps trained normalizers shares of one, or tells when they no longer are.
#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "dist/communicator.h"
#include "model/registry.h"

namespace lococo {

/// cache.normalizer_range: unit. Puts every trained normalizer onto [0, 1], both ends included.
/// Never waits for the GPU.
void clamp_normalizers(const std::vector<RegisteredParameter>& parameters);

/// Trained normalizers: how many there are, how many lie outside [0, 1], and how far they reach.
struct NormalizerSpread {
  int64_t count = 0, outside = 0;
  double least = std::numeric_limits<double>::infinity(), most = -least;
};

/// Waits for the GPU.
NormalizerSpread spread_of_normalizers(const std::vector<RegisteredParameter>& parameters);

/// Of `own` of all ranks; a collective call.
NormalizerSpread spread_over(Communicator& ranks, const NormalizerSpread& own);

/// One line for the log when a trained normalizer lies outside [0, 1], where a mixed slot is no
/// mean of tokens and the model may fail on texts longer than those of the training; else empty.
std::string normalizer_warning(const NormalizerSpread& spread);

}  // namespace lococo
