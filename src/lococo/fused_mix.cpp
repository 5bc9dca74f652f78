#include "lococo/fused_mix.h"

#ifdef LOCOCO_WITH_CUDA

#include "lococo/fused_select.h"
#include "lococo/slot_views.h"
#include "lococo/time_softmax_kernel.h"
#include "tensor/conv/time_conv.h"
#include "tensor/kit/kernel_launch.h"
#include "tensor/kit/shape.h"
#include "tensor/kit/torch.h"

namespace lococo {
namespace {

/// The channels of x that a mixture of `count` channels is made of: all, or the values'.
torch::Tensor mixed_part(const torch::Tensor& x_XSC, int64_t count) {
  return x_XSC.narrow(/*dim=*/2, x_XSC.size(2) - count, count);
}

SlotMixture mix_rest(const CacheState& cache, const SlotPlan& plan, const CompressShape& shape,
                     const torch::Tensor& weight_RCK, const torch::Tensor& bias_R) {
  const int64_t X = shape.rows, S = shape.rest(), C = 2 * shape.channels, R = shape.mixed;
  SlotMixture mixture;
  mixture.x_XSC = torch::empty({X, S, C}, cache.k_BGSD.options());
  const int32_t* rest = plan.rest_XS.const_data_ptr<int32_t>();
  launch_on(cache.k_BGSD, [&](CUstream_st* stream) {
    launch_gather_rest(view_of(cache.k_BGSD), view_of(cache.v_BGSD), rest,
                       mutable_bits_of(mixture.x_XSC), shape, stream);
  });
  mixture.y_XSR =
      time_conv_forward(mixture.x_XSC, weight_RCK, bias_R, /*relu=*/true, cache.prepared_KOC);
  CHECK_SHAPE(mixture.y_XSR, X, S, R);

  const auto weights_XSR = torch::empty_like(mixture.y_XSR);
  mixture.lse_XR = torch::empty({X, R}, cache.mass_BGS.options());
  mixture.mass_XR = torch::empty({X, R}, cache.mass_BGS.options());
  const TimeSoftmaxShape softmax = {X, shape.heads, shape.rest(), shape.mixed};
  launch_on(cache.k_BGSD, [&](CUstream_st* stream) {
    launch_time_softmax(bits_of(mixture.y_XSR), rest, number_view_of<float>(cache.mass_BGS),
                        mutable_bits_of(weights_XSR), mixture.lse_XR.mutable_data_ptr<float>(),
                        mixture.mass_XR.mutable_data_ptr<float>(), softmax, stream);
  });
  mixture.mixed_XRC =
      torch::bmm(weights_XSR.transpose(1, 2), mixed_part(mixture.x_XSC, shape.mixture_channels()));
  return mixture;
}

/// What backward needs: no weights of the softmax, which y and lse give again, and none of the
/// cache's own tensors.
struct Saved {
  torch::Tensor x_XSC, y_XSR, lse_XR, mixed_XRC;
  torch::Tensor residual_XR, target_XM;
  torch::Tensor normalizer;  ///< float32
};

/// A gradient as the kernels read it; an undefined one stays so.
torch::Tensor readable(const torch::Tensor& d_BGMD) {
  if (!d_BGMD.defined() || is_vectorised(d_BGMD)) return d_BGMD;
  return d_BGMD.clone(at::MemoryFormat::Contiguous);
}

/// The gradients of mixed_XRC and, if wanted, of the normalizer.
std::pair<torch::Tensor, torch::Tensor> mixture_gradient(const Saved& saved,
                                                         const torch::Tensor& dk_BGMD,
                                                         const torch::Tensor& dv_BGMD,
                                                         bool wants_normalizer) {
  const auto dk = readable(dk_BGMD), dv = readable(dv_BGMD);
  CompressShape shape{};
  shape.rows = saved.x_XSC.size(0);
  shape.heads = (dk.defined() ? dk : dv).size(1);
  shape.result = static_cast<int>(saved.target_XM.size(1));
  shape.mixed = static_cast<int>(saved.mixed_XRC.size(1));
  shape.slots = static_cast<int>(saved.x_XSC.size(1)) + shape.result - shape.mixed;
  shape.channels = static_cast<int>(saved.x_XSC.size(2) / 2);
  shape.mix_keys = saved.mixed_XRC.size(2) == saved.x_XSC.size(2);

  const auto d_mixed_XRC = torch::empty_like(saved.mixed_XRC);
  torch::Tensor partial;
  shape.own_shares = saved.normalizer.numel() > 1;
  if (wants_normalizer)
    partial = torch::empty(
        {shape.rows / shape.heads, shape.heads, mixture_gradient_blocks(shape) / shape.rows},
        saved.normalizer.options());
  MixtureGradient gradient{};
  gradient.dk = view_of(dk);
  gradient.dv = view_of(dv);
  gradient.target = saved.target_XM.const_data_ptr<int32_t>();
  gradient.residual = saved.residual_XR.const_data_ptr<int32_t>();
  gradient.x = bits_of(saved.x_XSC);
  gradient.mixture = bits_of(saved.mixed_XRC);
  gradient.normalizer = saved.normalizer.const_data_ptr<float>();
  gradient.d_mixture = mutable_bits_of(d_mixed_XRC);
  gradient.partial = wants_normalizer ? partial.mutable_data_ptr<float>() : nullptr;
  launch_on(saved.x_XSC,
            [&](CUstream_st* stream) { launch_mixture_gradient(gradient, shape, stream); });
  if (!wants_normalizer) return {d_mixed_XRC, torch::Tensor()};
  return {d_mixed_XRC, shape.own_shares ? partial.sum(0).sum(-1) : partial.sum().view({1})};
}

/// The gradients of the convolution's output before its ReLU and, summed over time, of its bias.
std::pair<torch::Tensor, torch::Tensor> softmax_gradient(const Saved& saved,
                                                         const torch::Tensor& d_mixed_XRC) {
  const auto d_weights_XSR =
      torch::bmm(mixed_part(saved.x_XSC, d_mixed_XRC.size(2)), d_mixed_XRC.transpose(1, 2));
  const auto dy_XSR = torch::empty_like(saved.y_XSR);
  const auto d_bias_XR = torch::empty_like(saved.lse_XR);
  TimeSoftmaxShape shape{};
  shape.rows = saved.y_XSR.size(0);
  shape.time = static_cast<int>(saved.y_XSR.size(1));
  shape.mixed = static_cast<int>(saved.y_XSR.size(2));
  launch_on(saved.x_XSC, [&](CUstream_st* stream) {
    launch_time_softmax_gradient(bits_of(saved.y_XSR), saved.lse_XR.const_data_ptr<float>(),
                                 bits_of(d_weights_XSR), mutable_bits_of(dy_XSR),
                                 d_bias_XR.mutable_data_ptr<float>(), shape, stream);
  });
  return {dy_XSR, d_bias_XR};
}

/// Inputs weight, bias, normalizer; outputs k, v and mass, which has no gradient; neither has k
/// without mix_keys.
class MixSlots : public torch::autograd::Function<MixSlots> {
 public:
  using List = torch::autograd::variable_list;

  static List forward(torch::autograd::AutogradContext* context, const torch::Tensor& weight_RCK,
                      const torch::Tensor& bias_R, const torch::Tensor& normalizer,
                      const CacheState& cache, const CacheConfig& config) {
    const auto shape = compress_shape(cache, config);
    const auto share = normalizer.to(torch::kFloat32);
    const auto plan = plan_slots(cache.mass_BGS, config);
    const auto mixture = mix_rest(cache, plan, shape, weight_RCK, bias_R);
    const auto result = write_slots(cache, plan, shape, mixture, share);
    context->save_for_backward({mixture.x_XSC, mixture.y_XSR, mixture.lse_XR, mixture.mixed_XRC,
                                plan.residual_XR, plan.target_XM, share});
    context->saved_data["kernel_size"] = weight_RCK.size(2);
    context->set_materialize_grads(false);
    List without_gradient = {result.mass_BGS};
    if (!config.mix_keys) without_gradient.push_back(result.k_BGSD);
    context->mark_non_differentiable(without_gradient);
    return {result.k_BGSD, result.v_BGSD, result.mass_BGS};
  }

  static List backward(torch::autograd::AutogradContext* context, const List& gradients) {
    List result(5);  // cache and config have none
    if (!gradients[0].defined() && !gradients[1].defined()) return result;
    const auto tensors = context->get_saved_variables();
    const Saved saved = {tensors[0], tensors[1], tensors[2], tensors[3],
                         tensors[4], tensors[5], tensors[6]};
    auto [d_mixed_XRC, d_normalizer] =
        mixture_gradient(saved, gradients[0], gradients[1], context->needs_input_grad(2));
    result[2] = d_normalizer;
    if (!context->needs_input_grad(0) && !context->needs_input_grad(1)) return result;
    const auto [dy_XSR, d_bias_XR] = softmax_gradient(saved, d_mixed_XRC);
    if (context->needs_input_grad(0))
      result[0] = time_conv_weight_gradient(saved.x_XSC, dy_XSR,
                                            context->saved_data["kernel_size"].toInt());
    if (context->needs_input_grad(1)) result[1] = d_bias_XR.sum(/*dim=*/0);
    return result;
  }
};

}  // namespace

CacheState mix_slots_fused(const CacheState& cache, const CacheConfig& config,
                           const torch::Tensor& weight_RCK, const torch::Tensor& bias_R,
                           const torch::Tensor& normalizer) {
  TORCH_CHECK(use_fused_compression(cache, config) && config.mixed_slots() > 0,
              "not a cache and a policy of the kernels");
  const auto result = MixSlots::apply(weight_RCK, bias_R, normalizer, cache, config);
  return {result[0], result[1], result[2]};
}

}  // namespace lococo

#else

namespace lococo {

CacheState mix_slots_fused(const CacheState&, const CacheConfig&, const torch::Tensor&,
                           const torch::Tensor&, const torch::Tensor&) {
  TORCH_CHECK(false, "this build has no CUDA");
}

}  // namespace lococo

#endif  // LOCOCO_WITH_CUDA
