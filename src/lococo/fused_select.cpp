#include "lococo/fused_select.h"

#include "lococo/selection_kernel.h"
#include "lococo/slot_views.h"
#include "tensor/kit/kernel_launch.h"
#include "tensor/kit/shape.h"

namespace lococo {

#ifdef LOCOCO_WITH_CUDA
namespace {

bool are_fused_slots(const torch::Tensor& x_BGSD) {
  return x_BGSD.is_cuda() && x_BGSD.scalar_type() == torch::kBFloat16 && is_vectorised(x_BGSD);
}

bool is_ranked_mass(const torch::Tensor& mass_BGS) {
  return mass_BGS.defined() && mass_BGS.is_cuda() && mass_BGS.scalar_type() == torch::kFloat32 &&
         mass_BGS.stride(2) == 1 && mass_BGS.size(2) <= kMaxSelectionSlots;
}

}  // namespace

bool use_fused_compression(const CacheState& cache, const CacheConfig& config) {
  if (cache.k_BGSD.requires_grad() || cache.v_BGSD.requires_grad()) return false;
  if (cache.score_BGS.defined() || cache.place_BGS.defined()) return false;
  if (!are_fused_slots(cache.k_BGSD) || !are_fused_slots(cache.v_BGSD)) return false;
  if (!config.ranks_slots()) return true;
  if (config.mass_channel && config.mixed_slots() > 0) return false;
  if (!is_ranked_mass(cache.mass_BGS)) return false;
  return config.mixed_slots() == 0 || (config.conv_layers == 1 && config.mixed_slots() % 8 == 0);
}

SlotPlan plan_slots(const torch::Tensor& mass_BGS, const CacheConfig& config) {
  TORCH_CHECK(is_ranked_mass(mass_BGS), "masses of another kind than the kernel ranks");
  const int64_t B = mass_BGS.size(0), G = mass_BGS.size(1), S = mass_BGS.size(2);
  const int64_t M = config.slots, R = config.mixed_slots(), kept = config.kept_slots();
  const int64_t heavy = kept - config.sinks - config.local;
  TORCH_CHECK(heavy >= 0 && M <= S, "slots=", M, " sinks=", config.sinks, " local=", config.local,
              " do not fit into S=", S);
  const auto options = mass_BGS.options().dtype(torch::kInt32);
  SlotPlan plan;
  SelectionLists lists{};
  auto list = [&](torch::Tensor& tensor, int64_t columns) {
    tensor = torch::empty({B * G, columns}, options);
    return tensor.mutable_data_ptr<int32_t>();
  };
  if (R > 0) lists.rest = list(plan.rest_XS, S - kept);
  if (R > 0) lists.residual = list(plan.residual_XR, R);
  lists.source = list(plan.source_XM, M);
  lists.target = list(plan.target_XM, M);

  const auto view = mass_view_of(mass_BGS);
  SelectionShape shape{};
  shape.batches = B;
  shape.heads = G;
  shape.batch_stride = view.batch_stride;
  shape.head_stride = view.head_stride;
  shape.slots = static_cast<int>(S);
  shape.kept = static_cast<int>(kept);
  shape.mixed = static_cast<int>(R);
  shape.sinks = static_cast<int>(config.sinks);
  shape.local = static_cast<int>(config.local);
  shape.timed = config.keys == KeyKind::kUnrotated;
  launch_on(mass_BGS,
            [&](CUstream_st* stream) { launch_selection(view.data, lists, shape, stream); });
  return plan;
}

CacheState write_slots(const CacheState& cache, const SlotPlan& plan, const CompressShape& shape,
                       const SlotMixture& mixture, const torch::Tensor& normalizer) {
  const int64_t B = cache.k_BGSD.size(0), G = shape.heads, M = shape.result, D = shape.channels;
  CacheState result = {torch::empty({B, G, M, D}, cache.k_BGSD.options()),
                       torch::empty({B, G, M, D}, cache.v_BGSD.options()), torch::Tensor()};
  WriteSlots slots{};
  slots.k = view_of(cache.k_BGSD);
  slots.v = view_of(cache.v_BGSD);
  if (plan.source_XM.defined()) {
    result.mass_BGS = torch::empty({B, G, M}, cache.mass_BGS.options());
    slots.mass = mass_view_of(cache.mass_BGS);
    slots.source = plan.source_XM.const_data_ptr<int32_t>();
    slots.target = plan.target_XM.const_data_ptr<int32_t>();
  }
  if (mixture.mixed_XRC.defined()) {
    slots.mixture = bits_of(mixture.mixed_XRC);
    slots.mixed_mass = mixture.mass_XR.const_data_ptr<float>();
    slots.normalizer = normalizer.const_data_ptr<float>();
  }
  slots.k_out = mutable_view_of(result.k_BGSD);
  slots.v_out = mutable_view_of(result.v_BGSD);
  slots.mass_out = mutable_mass_view_of(result.mass_BGS);
  launch_on(cache.k_BGSD, [&](CUstream_st* stream) { launch_write_slots(slots, shape, stream); });
  return result;
}

CacheState keep_slots_fused(const CacheState& cache, const CacheConfig& config) {
  torch::NoGradGuard no_grad;
  TORCH_CHECK(use_fused_compression(cache, config) && config.mixed_slots() == 0,
              "not a cache and a policy of the kernels");
  const auto plan = config.ranks_slots() ? plan_slots(cache.mass_BGS, config) : SlotPlan{};
  return write_slots(cache, plan, compress_shape(cache, config), SlotMixture{}, torch::Tensor());
}

#else

bool use_fused_compression(const CacheState&, const CacheConfig&) { return false; }

SlotPlan plan_slots(const torch::Tensor&, const CacheConfig&) {
  TORCH_CHECK(false, "this build has no CUDA");
}

CacheState keep_slots_fused(const CacheState&, const CacheConfig&) {
  TORCH_CHECK(false, "this build has no CUDA");
}

#endif

}  // namespace lococo
