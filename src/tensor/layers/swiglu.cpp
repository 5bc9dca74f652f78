#include "tensor/layers/swiglu.h"

#include <ATen/ops/silu.h>
#include <ATen/ops/silu_backward.h>
#include <torch/csrc/autograd/custom_function.h>

#include <limits>

#include "tensor/kit/kernel_input.h"
#include "tensor/kit/kernel_launch.h"
#include "tensor/layers/swiglu_kernel.h"

namespace lococo {
namespace {

#ifdef LOCOCO_WITH_CUDA

bool has_fusable_rows(const torch::Tensor& x_XF) {
  const auto stride = row_stride_of(x_XF);
  return stride && *stride % 8 == 0 && is_aligned(x_XF);
}

bool is_fusable_swiglu(const torch::Tensor& gate_XF, const torch::Tensor& up_XF) {
  return has_kernel_element(gate_XF) && up_XF.is_cuda() && gate_XF.size(-1) % 8 == 0 &&
         gate_XF.numel() / 8 <= std::numeric_limits<int32_t>::max() && has_fusable_rows(gate_XF) &&
         has_fusable_rows(up_XF);
}

SwigluShape swiglu_shape_of(const torch::Tensor& gate_XF, const torch::Tensor& up_XF) {
  const int64_t F = gate_XF.size(-1);
  return {gate_XF.numel() / F, F, *row_stride_of(gate_XF), *row_stride_of(up_XF),
          element_type_of(gate_XF)};
}

struct SwigluFunction : torch::autograd::Function<SwigluFunction> {
  static torch::Tensor forward(torch::autograd::AutogradContext* context,
                               const torch::Tensor& gate_XF, const torch::Tensor& up_XF) {
    auto out_XF = torch::empty(gate_XF.sizes(), gate_XF.options());
    launch_on(gate_XF, [&](CUstream_st* stream) {
      launch_swiglu(gate_XF.const_data_ptr(), up_XF.const_data_ptr(), out_XF.data_ptr(),
                    swiglu_shape_of(gate_XF, up_XF), stream);
    });
    context->save_for_backward({gate_XF, up_XF});
    return out_XF;
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list output_gradients) {
    const auto saved = context->get_saved_variables();
    const auto gradients = swiglu_gradients(output_gradients[0], saved[0], saved[1]);
    return {gradients.d_gate_XF, gradients.d_up_XF};
  }
};

#endif

void check_halves(const torch::Tensor& gate_XF, const torch::Tensor& up_XF) {
  TORCH_CHECK(gate_XF.dim() >= 1 && gate_XF.sizes() == up_XF.sizes() &&
                  gate_XF.scalar_type() == up_XF.scalar_type(),
              "gate has shape ", gate_XF.sizes(), " and dtype ", gate_XF.scalar_type(), ", up has ",
              up_XF.sizes(), " and ", up_XF.scalar_type());
}

}  // namespace

torch::Tensor swiglu(const torch::Tensor& gate_XF, const torch::Tensor& up_XF) {
  check_halves(gate_XF, up_XF);
#ifdef LOCOCO_WITH_CUDA
  if (is_fusable_swiglu(gate_XF, up_XF)) return SwigluFunction::apply(gate_XF, up_XF);
#endif
  return swiglu_reference(gate_XF, up_XF);
}

torch::Tensor swiglu_reference(const torch::Tensor& gate_XF, const torch::Tensor& up_XF) {
  return torch::silu(gate_XF) * up_XF;
}

SwigluGradients swiglu_gradients(const torch::Tensor& d_out_XF, const torch::Tensor& gate_XF,
                                 const torch::Tensor& up_XF) {
  check_halves(gate_XF, up_XF);
  torch::NoGradGuard no_grad;
#ifdef LOCOCO_WITH_CUDA
  if (is_fusable_swiglu(gate_XF, up_XF)) {
    const auto d_out = kernel_ready(d_out_XF);
    SwigluGradients gradients = {torch::empty(gate_XF.sizes(), gate_XF.options()),
                                 torch::empty(up_XF.sizes(), up_XF.options())};
    launch_on(gate_XF, [&](CUstream_st* stream) {
      launch_swiglu_backward(d_out.const_data_ptr(), gate_XF.const_data_ptr(),
                             up_XF.const_data_ptr(), gradients.d_gate_XF.data_ptr(),
                             gradients.d_up_XF.data_ptr(), swiglu_shape_of(gate_XF, up_XF), stream);
    });
    return gradients;
  }
#endif
  return {at::silu_backward(d_out_XF * up_XF, gate_XF), d_out_XF * torch::silu(gate_XF)};
}

}  // namespace lococo
