#include "pass/block_buffers.h"

#include <algorithm>

#include "tensor/kit/torch.h"

namespace lococo {

std::optional<PlanExtent> extent_to_make(const std::vector<BlockStep>& plan, int64_t B,
                                         torch::Device device, torch::ScalarType dtype,
                                         const HeldBuffers& buffers) {
  const PlanExtent needed = extent_of(plan);
  const auto& [ids_BL, caches] = buffers;
  const bool same = ids_BL.defined() && ids_BL.size(0) == B && ids_BL.device() == device &&
                    caches.front().k_home_BGCD.scalar_type() == dtype;
  if (!same) return needed;
  const PlanExtent held = {ids_BL.size(1), caches.front().k_home_BGCD.size(2)};
  if (needed.length <= held.length && needed.attended <= held.attended) return std::nullopt;
  return PlanExtent{std::max(needed.length, held.length), std::max(needed.attended, held.attended)};
}

void put_block(const torch::Tensor& x_BT, const BlockStep& step, const torch::Tensor& into_BL) {
  into_BL.narrow(/*dim=*/1, 0, step.length())
      .copy_(x_BT.narrow(/*dim=*/1, step.begin, step.length()));
}

}  // namespace lococo
