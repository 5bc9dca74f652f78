#include "tensor/layers/rms_norm.h"

#include <torch/csrc/autograd/custom_function.h>

#include "tensor/kit/kernel_input.h"
#include "tensor/kit/kernel_launch.h"
#include "tensor/kit/shape.h"
#include "tensor/kit/wide.h"
#include "tensor/layers/rms_norm_kernel.h"

namespace lococo {
namespace {

#ifdef LOCOCO_WITH_CUDA

bool is_fusable_norm(const torch::Tensor& x_XE, const torch::Tensor& weight_E) {
  const int64_t E = x_XE.size(-1);
  return has_kernel_element(x_XE) && has_kernel_element(weight_E) && x_XE.is_contiguous() &&
         weight_E.is_contiguous() && is_aligned(x_XE) && is_aligned(weight_E) && E % 8 == 0 &&
         E <= kRmsNormMaxWidth;
}

RmsNormShape norm_shape_of(const torch::Tensor& x_XE, const torch::Tensor& weight_E) {
  const int64_t E = x_XE.size(-1);
  return {x_XE.numel() / E, E, element_type_of(x_XE), element_type_of(weight_E)};
}

struct Normed {
  torch::Tensor sum;  ///< undefined without a residual
  torch::Tensor normed;
  torch::Tensor rstd_X;
};

/// `residual_XE` may be undefined.
Normed run_forward(const torch::Tensor& x_XE, const torch::Tensor& residual_XE,
                   const torch::Tensor& weight_E, double eps) {
  const auto shape = norm_shape_of(x_XE, weight_E);
  Normed out;
  out.normed = torch::empty_like(x_XE);
  out.rstd_X = torch::empty({shape.rows}, x_XE.options().dtype(torch::kFloat32));
  if (residual_XE.defined()) out.sum = torch::empty_like(x_XE);
  launch_on(x_XE, [&](CUstream_st* stream) {
    launch_rms_norm_forward(
        {x_XE.const_data_ptr(), residual_XE.defined() ? residual_XE.const_data_ptr() : nullptr,
         weight_E.const_data_ptr(), out.sum.defined() ? out.sum.data_ptr() : nullptr,
         out.normed.data_ptr(), out.rstd_X.data_ptr<float>(), static_cast<float>(eps)},
        shape, stream);
  });
  return out;
}

struct NormGradients {
  torch::Tensor d_x;       ///< of the normed rows, d_sum included
  torch::Tensor d_weight;  ///< undefined unless wanted
};

/// `saved` is {x, rstd, weight}; either of the output gradients may be undefined.
NormGradients run_backward(const torch::autograd::variable_list& saved,
                           const torch::Tensor& d_normed_given, const torch::Tensor& d_sum_given,
                           bool wants_weight) {
  if (!d_normed_given.defined()) return {d_sum_given, {}};
  const auto &x_XE = saved[0], &rstd_X = saved[1], &weight_E = saved[2];
  const auto shape = norm_shape_of(x_XE, weight_E);
  const auto d_normed = kernel_ready(d_normed_given);
  const auto d_sum = d_sum_given.defined() ? kernel_ready(d_sum_given) : torch::Tensor();
  NormGradients gradients;
  gradients.d_x = torch::empty_like(x_XE);
  torch::Tensor partial;
  if (wants_weight)
    partial = torch::empty({rms_norm_chunks(shape.rows), shape.width}, rstd_X.options());
  launch_on(x_XE, [&](CUstream_st* stream) {
    launch_rms_norm_backward(
        {d_normed.const_data_ptr(), d_sum.defined() ? d_sum.const_data_ptr() : nullptr,
         x_XE.const_data_ptr(), weight_E.const_data_ptr(), rstd_X.const_data_ptr<float>(),
         gradients.d_x.data_ptr(), partial.defined() ? partial.data_ptr<float>() : nullptr},
        shape, stream);
  });
  if (wants_weight) gradients.d_weight = partial.sum(/*dim=*/0).to(weight_E.scalar_type());
  return gradients;
}

struct RmsNormFunction : torch::autograd::Function<RmsNormFunction> {
  static torch::Tensor forward(torch::autograd::AutogradContext* context, const torch::Tensor& x_XE,
                               const torch::Tensor& weight_E, double eps) {
    const auto out = run_forward(x_XE, /*residual_XE=*/{}, weight_E, eps);
    context->save_for_backward({x_XE, out.rstd_X, weight_E});
    context->set_materialize_grads(false);
    return out.normed;
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list output_gradients) {
    const auto gradients = run_backward(context->get_saved_variables(), output_gradients[0],
                                        /*d_sum_given=*/{}, context->needs_input_grad(1));
    return {gradients.d_x, gradients.d_weight, {}};
  }
};

struct AddRmsNormFunction : torch::autograd::Function<AddRmsNormFunction> {
  static torch::autograd::variable_list forward(torch::autograd::AutogradContext* context,
                                                const torch::Tensor& x_XE,
                                                const torch::Tensor& residual_XE,
                                                const torch::Tensor& weight_E, double eps) {
    const auto out = run_forward(x_XE, residual_XE, weight_E, eps);
    context->save_for_backward({out.sum, out.rstd_X, weight_E});
    context->set_materialize_grads(false);
    return {out.sum, out.normed};
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list output_gradients) {
    const auto gradients = run_backward(context->get_saved_variables(), output_gradients[1],
                                        output_gradients[0], context->needs_input_grad(2));
    return {gradients.d_x, gradients.d_x, gradients.d_weight, {}};
  }
};

#endif

void check_norm_inputs(const torch::Tensor& x_XE, const torch::Tensor& weight_E) {
  TORCH_CHECK(x_XE.dim() >= 1, "rms_norm takes rows, not a single number");
  CHECK_SHAPE(weight_E, x_XE.size(-1));
}

}  // namespace

torch::Tensor rms_norm(const torch::Tensor& x_XE, const torch::Tensor& weight_E, double eps) {
  check_norm_inputs(x_XE, weight_E);
#ifdef LOCOCO_WITH_CUDA
  if (is_fusable_norm(x_XE, weight_E)) return RmsNormFunction::apply(x_XE, weight_E, eps);
#endif
  return rms_norm_reference(x_XE, weight_E, eps);
}

torch::Tensor rms_norm_reference(const torch::Tensor& x_XE, const torch::Tensor& weight_E,
                                 double eps) {
  const auto wide = wide_of(x_XE);
  const auto x = x_XE.to(wide);
  const auto inverse = torch::rsqrt(x.square().mean(/*dim=*/-1, /*keepdim=*/true) + eps);
  return (weight_E.to(wide) * (x * inverse)).to(x_XE.scalar_type());
}

AddNorm add_rms_norm(const torch::Tensor& x_XE, const torch::Tensor& residual_XE,
                     const torch::Tensor& weight_E, double eps) {
  check_norm_inputs(x_XE, weight_E);
  TORCH_CHECK(
      residual_XE.sizes() == x_XE.sizes() && residual_XE.scalar_type() == x_XE.scalar_type(),
      "the residual has shape ", residual_XE.sizes(), " and dtype ", residual_XE.scalar_type(),
      ", x has ", x_XE.sizes(), " and ", x_XE.scalar_type());
#ifdef LOCOCO_WITH_CUDA
  if (is_fusable_norm(x_XE, weight_E) && is_fusable_norm(residual_XE, weight_E)) {
    const auto outputs = AddRmsNormFunction::apply(x_XE, residual_XE, weight_E, eps);
    return {outputs[0], outputs[1]};
  }
#endif
  return add_rms_norm_reference(x_XE, residual_XE, weight_E, eps);
}

AddNorm add_rms_norm_reference(const torch::Tensor& x_XE, const torch::Tensor& residual_XE,
                               const torch::Tensor& weight_E, double eps) {
  const auto sum = x_XE + residual_XE;
  return {sum, rms_norm_reference(sum, weight_E, eps)};
}

}  // namespace lococo
