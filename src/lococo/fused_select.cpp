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

/// Numbers that write_slots() can move; where there are none it has nothing to move.
bool are_movable(const torch::Tensor& number_BGS, torch::ScalarType dtype) {
  return !number_BGS.defined() ||
         (number_BGS.is_cuda() && number_BGS.scalar_type() == dtype && are_neighbours(number_BGS));
}

bool are_ranked(const torch::Tensor& number_BGS) {
  return number_BGS.defined() && are_movable(number_BGS, torch::kFloat32) &&
         number_BGS.size(2) <= kMaxSelectionSlots;
}

bool moves_numbers_fused(const CacheState& cache, const CacheConfig& config) {
  // A mixture has neither a place nor a score.
  if (config.mixed_slots() > 0) return !cache.score_BGS.defined() && !cache.place_BGS.defined();
  return are_movable(cache.mass_BGS, torch::kFloat32) &&
         are_movable(cache.score_BGS, torch::kFloat32) &&
         are_movable(cache.place_BGS, torch::kInt32);
}

bool ranks_slots_fused(const CacheState& cache, const CacheConfig& config) {
  if (!config.ranks_slots()) return true;
  if (config.has_retention())
    return are_ranked(cache.score_BGS) &&
           (config.massed_slots() == 0 || are_ranked(cache.mass_BGS));
  if (!are_ranked(cache.mass_BGS)) return false;
  if (config.mixed_slots() == 0) return true;
  return !config.mass_channel && config.conv_layers == 1 && config.mixed_slots() % 8 == 0;
}

/// Memory for the lists of `plan`, of which R are mixed.
SelectionLists make_lists(SlotPlan& plan, const torch::Tensor& ranked_BGS, int64_t M, int64_t R) {
  const int64_t X = ranked_BGS.size(0) * ranked_BGS.size(1), S = ranked_BGS.size(2);
  const auto make = [&](torch::Tensor& list, int64_t columns) {
    list = torch::empty({X, columns}, ranked_BGS.options().dtype(torch::kInt32));
    return list.mutable_data_ptr<int32_t>();
  };
  SelectionLists lists{};
  if (R > 0) lists.rest = make(plan.rest_XS, S - (M - R));
  if (R > 0) lists.residual = make(plan.residual_XR, R);
  lists.source = make(plan.source_XM, M);
  lists.target = make(plan.target_XM, M);
  return lists;
}

}  // namespace

bool use_fused_compression(const CacheState& cache, const CacheConfig& config) {
  if (cache.k_BGSD.requires_grad() || cache.v_BGSD.requires_grad()) return false;
  if (!are_fused_slots(cache.k_BGSD) || !are_fused_slots(cache.v_BGSD)) return false;
  return moves_numbers_fused(cache, config) && ranks_slots_fused(cache, config);
}

SlotPlan plan_slots(const torch::Tensor& mass_BGS, const CacheConfig& config) {
  TORCH_CHECK(are_ranked(mass_BGS), "masses of another kind than the kernel ranks");
  const int64_t S = mass_BGS.size(2), M = config.slots, kept = config.kept_slots();
  TORCH_CHECK(kept - config.sinks - config.local >= 0 && M <= S, "slots=", M,
              " sinks=", config.sinks, " local=", config.local, " do not fit into S=", S);
  SlotPlan plan;
  const auto lists = make_lists(plan, mass_BGS, M, config.mixed_slots());
  const auto view = number_view_of<float>(mass_BGS);
  SelectionShape shape{};
  shape.batches = mass_BGS.size(0);
  shape.heads = mass_BGS.size(1);
  shape.batch_stride = view.batch_stride;
  shape.head_stride = view.head_stride;
  shape.slots = static_cast<int>(S);
  shape.kept = static_cast<int>(kept);
  shape.mixed = static_cast<int>(config.mixed_slots());
  shape.sinks = static_cast<int>(config.sinks);
  shape.local = static_cast<int>(config.local);
  shape.timed = config.keys == KeyKind::kUnrotated;
  launch_on(mass_BGS,
            [&](CUstream_st* stream) { launch_selection(view.data, lists, shape, stream); });
  return plan;
}

SlotPlan plan_two_shares(const torch::Tensor& score_BGS, const torch::Tensor& mass_BGS,
                         const torch::Tensor& mass_weight_G, const SlotShares& shares) {
  const int64_t B = score_BGS.size(0), G = score_BGS.size(1), S = score_BGS.size(2);
  TORCH_CHECK(are_ranked(score_BGS), "scores of another kind than the kernel ranks");
  TORCH_CHECK(shares.alone >= 0 && shares.massed >= 0 && shares.slots() <= S,
              "slots=", shares.slots(), " do not fit into S=", S);
  TwoShares input{};
  input.score = number_view_of<float>(score_BGS);
  // A frozen gate may have been rounded to the model's dtype.
  const auto weight_G = mass_weight_G.detach().to(torch::kFloat32).contiguous();
  if (shares.massed > 0) {
    TORCH_CHECK(are_ranked(mass_BGS), "masses of another kind than the kernel ranks");
    CHECK_SHAPE(mass_BGS, B, G, S);
    CHECK_SHAPE(weight_G, G);
    TORCH_CHECK(weight_G.device() == score_BGS.device(), "want mass_weight beside the scores");
    input.mass = number_view_of<float>(mass_BGS);
    input.mass_weight = weight_G.const_data_ptr<float>();
  }
  input.rows = B * G;
  input.heads = G;
  input.slots = static_cast<int>(S);
  input.sinks = static_cast<int>(shares.sinks);
  input.local = static_cast<int>(shares.local);
  input.alone = static_cast<int>(shares.alone);
  input.massed = static_cast<int>(shares.massed);
  SlotPlan plan;
  const auto lists = make_lists(plan, score_BGS, shares.slots(), /*R=*/0);
  launch_on(score_BGS, [&](CUstream_st* stream) { launch_two_shares(input, lists, stream); });
  return plan;
}

CacheState write_slots(const CacheState& cache, const SlotPlan& plan, const CompressShape& shape,
                       const SlotMixture& mixture, const torch::Tensor& normalizer) {
  const int64_t B = cache.k_BGSD.size(0), G = shape.heads, M = shape.result, D = shape.channels;
  const bool ranked = plan.source_XM.defined();
  const auto result_of = [&](const torch::Tensor& number_BGS) {
    return number_BGS.defined() ? torch::empty({B, G, M}, number_BGS.options()) : torch::Tensor();
  };
  CacheState result = {torch::empty({B, G, M, D}, cache.k_BGSD.options()),
                       torch::empty({B, G, M, D}, cache.v_BGSD.options()), torch::Tensor()};
  result.place_BGS = result_of(cache.place_BGS);
  WriteSlots slots{};
  slots.k = view_of(cache.k_BGSD);
  slots.v = view_of(cache.v_BGSD);
  slots.place = number_view_of<int32_t>(cache.place_BGS);
  if (ranked) {
    result.mass_BGS = result_of(cache.mass_BGS);
    result.score_BGS = result_of(cache.score_BGS);
    slots.mass = number_view_of<float>(cache.mass_BGS);
    slots.score = number_view_of<float>(cache.score_BGS);
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
  slots.mass_out = mutable_number_view_of<float>(result.mass_BGS);
  slots.score_out = mutable_number_view_of<float>(result.score_BGS);
  slots.place_out = mutable_number_view_of<int32_t>(result.place_BGS);
  launch_on(cache.k_BGSD, [&](CUstream_st* stream) { launch_write_slots(slots, shape, stream); });
  return result;
}

CacheState keep_slots_fused(const CacheState& cache, const CacheConfig& config) {
  torch::NoGradGuard no_grad;
  TORCH_CHECK(
      use_fused_compression(cache, config) && config.mixed_slots() == 0 && !config.has_retention(),
      "not a cache and a policy of the kernels");
  const auto plan = config.ranks_slots() ? plan_slots(cache.mass_BGS, config) : SlotPlan{};
  return write_slots(cache, plan, compress_shape(cache, config), SlotMixture{}, torch::Tensor());
}

CacheState keep_two_shares_fused(const CacheState& cache, const CacheConfig& config,
                                 const torch::Tensor& mass_weight_G) {
  torch::NoGradGuard no_grad;
  TORCH_CHECK(use_fused_compression(cache, config) && config.has_retention(),
              "not a cache and a policy of the kernels");
  const auto plan =
      plan_two_shares(cache.score_BGS, cache.mass_BGS, mass_weight_G, shares_of(config));
  return write_slots(cache, plan, compress_shape(cache, config), SlotMixture{}, torch::Tensor());
}

#else

bool use_fused_compression(const CacheState&, const CacheConfig&) { return false; }

SlotPlan plan_slots(const torch::Tensor&, const CacheConfig&) {
  TORCH_CHECK(false, "this build has no CUDA");
}

SlotPlan plan_two_shares(const torch::Tensor&, const torch::Tensor&, const torch::Tensor&,
                         const SlotShares&) {
  TORCH_CHECK(false, "this build has no CUDA");
}

CacheState keep_slots_fused(const CacheState&, const CacheConfig&) {
  TORCH_CHECK(false, "this build has no CUDA");
}

CacheState keep_two_shares_fused(const CacheState&, const CacheConfig&, const torch::Tensor&) {
  TORCH_CHECK(false, "this build has no CUDA");
}

#endif

}  // namespace lococo
