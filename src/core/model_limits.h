// The largest model that a config.json or a config may describe.
#pragma once

#include <cstdint>

namespace lococo {

/// The largest of each size: far above any model, and small enough that no number of bytes made of
/// them overflows.
inline constexpr int64_t kMostLayers = 4096;
inline constexpr int64_t kMostHeads = 4096;
inline constexpr int64_t kMostHeadDim = 4096;
inline constexpr int64_t kMostWidth = int64_t{1} << 20;  ///< hidden_size and intermediate_size
inline constexpr int64_t kMostVocab = int64_t{1} << 24;
inline constexpr int64_t kMostPositions = int64_t{1} << 31;
inline constexpr double kMostRopeTheta = 1e15;  ///< rope_theta is at least 1
inline constexpr int64_t kMostLoraRank = 65536;
inline constexpr double kMostLoraAlpha = 1e12;

}  // namespace lococo
