// How the work of the weights' gradient of the convolution over time is cut, and where its sums
// lie, as the kernel that makes the sums and the one that adds them up both see it.
#pragma once

#include <algorithm>

#include "tensor/conv/time_conv_shape.h"
#include "tensor/kit/hopper.cuh"

namespace lococo::time_conv_gradient {

using hopper::kBoxRowBytes;
using hopper::kSwizzleBytes;

constexpr int kWarpgroup = 128;
constexpr int kTaps = 3;  // of a unit, one for each computing warpgroup
constexpr int kStepRows = 64;

/// How the work is cut. All counts fit into an int; products of them may not.
struct Plan {
  int output_tiles, channel_tiles, tap_tiles;
  int units;          ///< the product of the three
  int row_steps;      ///< of one sequence
  int64_t steps;      ///< of one unit
  int64_t all_steps;  ///< of all units
  int blocks;

  /// Block b takes the steps from begin(b) to begin(b + 1).
  __host__ __device__ int64_t begin(int64_t block) const { return block * all_steps / blocks; }
  /// The block that takes that step: the last one with begin(block) <= step.
  __host__ __device__ int block_of(int64_t step) const {
    return static_cast<int>(((step + 1) * blocks - 1) / all_steps);
  }
  /// Where `block` writes its sums of `unit`. From one part of the line to the next, block or unit
  /// grow, so no two parts share a slot.
  __host__ __device__ int slot(int block, int unit) const { return block + unit; }
  int64_t slots() const { return static_cast<int64_t>(blocks) + units - 1; }
};

struct GradientArguments {
  Plan plan;
  float* workspace;
  float* dw;
  int channels, outputs, taps;
};

template <int kMChunks, int kNChannels>
struct GradientTile {
  static constexpr int kM = kMChunks, kN = kNChannels;
  static constexpr int kOutputs = 64 * kM;
  /// Channels of one product. The compiler must fit its sums into the registers a thread starts
  /// with, not those it asks for later, so 256 channels take two.
  static constexpr int kWidth = kN < 128 ? kN : 128;
  static constexpr int kParts = kN / kWidth;
  using Sums = float[kM * kParts][kWidth / 2];
  static constexpr int kUnitFloats = kTaps * kOutputs * kN;

  static constexpr int kDyBox = kStepRows * kBoxRowBytes;
  static constexpr int kXRows = kStepRows + kTaps - 1;
  static constexpr int kXBox =
      (kXRows * kBoxRowBytes + kSwizzleBytes - 1) / kSwizzleBytes * kSwizzleBytes;
  static constexpr int kXOffset = kM * kDyBox;
  static constexpr int kStageBytes = kXOffset + kN / 64 * kXBox;
  static constexpr int kLoadedBytes = kM * kDyBox + kN / 64 * kXRows * kBoxRowBytes;
  static constexpr int kStages = 229376 / kStageBytes < 8 ? 229376 / kStageBytes : 8;
  static constexpr int kBarrierOffset = kStages * kStageBytes;
  static constexpr int kSharedBytes = kSwizzleBytes + kBarrierOffset + 8 * 2 * kStages;
  static_assert(kStages >= 3 && kSharedBytes <= 232448);
};

template <class Tile>
Plan plan_of(const TimeConvShape& shape, int processors) {
  const auto tiles = [](int64_t size, int64_t tile) {
    return static_cast<int>((size + tile - 1) / tile);
  };
  Plan plan;
  plan.output_tiles = tiles(shape.outputs, Tile::kOutputs);
  plan.channel_tiles = tiles(shape.channels, Tile::kN);
  plan.tap_tiles = tiles(shape.taps, kTaps);
  plan.units = plan.output_tiles * plan.channel_tiles * plan.tap_tiles;
  plan.row_steps = tiles(shape.rows, kStepRows);
  plan.steps = shape.sequences * plan.row_steps;
  plan.all_steps = plan.units * plan.steps;
  constexpr int64_t kFewSteps = 8;  // fewer are not worth the sums that a block writes
  plan.blocks = static_cast<int>(
      std::min<int64_t>(processors, std::max<int64_t>(1, plan.all_steps / kFewSteps)));
  return plan;
}

/// Calls `use` with the tile for a shape: as many channels as one product takes, then as many
/// outputs as there are registers for.
template <class Use>
auto with_tile(const TimeConvShape& shape, Use use) {
  if (shape.channels % 256 == 0) return use(GradientTile<1, 256>());
  if (shape.channels % 128 != 0) return use(GradientTile<2, 64>());
  if (shape.outputs <= 64) return use(GradientTile<1, 128>());
  return use(GradientTile<2, 128>());
}

}  // namespace lococo::time_conv_gradient
