// The buffers of a runner of blocks: when they are made anew, and what is put into them.
#pragma once

#include <torch/types.h>

#include <optional>
#include <vector>

#include "lococo/cache_state.h"
#include "lococo/step_plan.h"

namespace lococo {

/// What buffers are held of: ids [B, L] (undefined: none yet), and caches with homes.
struct HeldBuffers {
  const torch::Tensor& ids_BL;
  const std::vector<CacheState>& caches;
};

/// The extent that buffers for `plan` with B rows on `device` must be made of; nullopt where those
/// that are held serve. They only grow: sequences of many lengths come in turn, and what is
/// recorded on them stays.
std::optional<PlanExtent> extent_to_make(const std::vector<BlockStep>& plan, int64_t B,
                                         torch::Device device, torch::ScalarType dtype,
                                         const HeldBuffers& held);

/// A block's part of x_BT [B, T, ...] into the first places of a buffer [B, L, ...].
void put_block(const torch::Tensor& x_BT, const BlockStep& step, const torch::Tensor& into_BL);

}  // namespace lococo
