#include "tensor/time_conv.h"

#include <ATen/Functions.h>

#include "tensor/kernel_input.h"
#include "tensor/shape.h"
#include "tensor/time_conv_kernel.h"

#ifdef LOCOCO_WITH_SM90A
#include <ATen/cuda/CUDAContext.h>
#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAStream.h>
#endif

namespace lococo {
namespace {

torch::Tensor library_forward(const torch::Tensor& x_XSC, const torch::Tensor& weight_OCK,
                              const torch::Tensor& bias_O, bool relu) {
  const auto dtype = x_XSC.scalar_type();
  auto y_XOS = at::conv1d(x_XSC.transpose(1, 2), weight_OCK.to(dtype), bias_O.to(dtype),
                          /*stride=*/1, /*padding=*/(weight_OCK.size(2) - 1) / 2);
  if (relu) y_XOS = y_XOS.relu_();
  return y_XOS.transpose(1, 2).contiguous();
}

torch::Tensor library_weight_gradient(const torch::Tensor& x_XSC, const torch::Tensor& dy_XSO,
                                      int64_t K) {
  const auto unused_weight = torch::empty({dy_XSO.size(2), x_XSC.size(2), K}, x_XSC.options());
  const auto gradients = at::convolution_backward(
      dy_XSO.transpose(1, 2), x_XSC.transpose(1, 2), unused_weight, /*bias_sizes=*/std::nullopt,
      /*stride=*/1, /*padding=*/(K - 1) / 2, /*dilation=*/1, /*transposed=*/false,
      /*output_padding=*/0, /*groups=*/1, {false, true, false});
  const auto wide = x_XSC.scalar_type() == torch::kFloat64 ? torch::kFloat64 : torch::kFloat32;
  return std::get<1>(gradients).to(wide);
}

#ifdef LOCOCO_WITH_SM90A
void check_launch(int error) { C10_CUDA_CHECK(static_cast<cudaError_t>(error)); }

TimeConvShape shape_of(const torch::Tensor& x_XSC, int64_t O, int64_t K) {
  return {x_XSC.size(0), x_XSC.size(1), x_XSC.size(2), O, K};
}

torch::Tensor fused_forward(const torch::Tensor& x_XSC, const torch::Tensor& weight_OCK,
                            const torch::Tensor& bias_O, bool relu) {
  const int64_t O = weight_OCK.size(0), C = weight_OCK.size(1), K = weight_OCK.size(2);
  const auto stream = c10::cuda::getCurrentCUDAStream().stream();
  const auto x = kernel_ready(x_XSC);
  const auto weight = weight_OCK.to(torch::kFloat32).contiguous();
  const auto bias = bias_O.to(torch::kFloat32).contiguous();
  const auto shape = shape_of(x, O, K);
  auto packed_KOC = torch::empty({K, O, C}, x.options());
  check_launch(
      launch_time_conv_pack(weight.const_data_ptr<float>(), packed_KOC.data_ptr(), shape, stream));
  auto y_XSO = torch::empty({x.size(0), x.size(1), O}, x.options());
  check_launch(launch_time_conv_forward(x.const_data_ptr(), packed_KOC.const_data_ptr(),
                                        bias.const_data_ptr<float>(), y_XSO.data_ptr(), relu, shape,
                                        stream));
  return y_XSO;
}

torch::Tensor fused_weight_gradient(const torch::Tensor& x_XSC, const torch::Tensor& dy_XSO,
                                    int64_t K) {
  const auto x = kernel_ready(x_XSC), dy = kernel_ready(dy_XSO.to(torch::kBFloat16));
  const auto shape = shape_of(x, dy.size(2), K);
  const int processors = at::cuda::getDeviceProperties(x.get_device())->multiProcessorCount;
  const auto wide = x.options().dtype(torch::kFloat32);
  auto workspace = torch::empty({time_conv_workspace_size(shape, processors)}, wide);
  auto dw_OCK = torch::empty({dy.size(2), x.size(2), K}, wide);
  check_launch(launch_time_conv_weight_gradient(
      x.const_data_ptr(), dy.const_data_ptr(), workspace.data_ptr<float>(),
      dw_OCK.data_ptr<float>(), shape, processors, c10::cuda::getCurrentCUDAStream().stream()));
  return dw_OCK;
}
#endif

}  // namespace

bool time_conv_is_fused([[maybe_unused]] const torch::Tensor& x_XSC, [[maybe_unused]] int64_t O,
                        [[maybe_unused]] int64_t K) {
#ifdef LOCOCO_WITH_SM90A
  if (!x_XSC.is_cuda() || x_XSC.scalar_type() != torch::kBFloat16 || x_XSC.numel() == 0)
    return false;
  const auto* device = at::cuda::getDeviceProperties(x_XSC.get_device());
  return device->major == 9 && device->minor == 0 && x_XSC.size(2) % 64 == 0 && O > 0 &&
         O % 8 == 0 && K % 2 == 1 && K <= kTimeConvMaxTaps;
#else
  return false;
#endif
}

torch::Tensor time_conv_forward(const torch::Tensor& x_XSC, const torch::Tensor& weight_OCK,
                                const torch::Tensor& bias_O, bool relu) {
  torch::NoGradGuard no_grad;
  const int64_t C = x_XSC.size(2), O = weight_OCK.size(0), K = weight_OCK.size(2);
  CHECK_SHAPE(weight_OCK, O, C, K);
  CHECK_SHAPE(bias_O, O);
  TORCH_CHECK(K % 2 == 1, "K=", K, " must be odd");
#ifdef LOCOCO_WITH_SM90A
  if (time_conv_is_fused(x_XSC, O, K)) return fused_forward(x_XSC, weight_OCK, bias_O, relu);
#endif
  return library_forward(x_XSC, weight_OCK, bias_O, relu);
}

torch::Tensor time_conv_weight_gradient(const torch::Tensor& x_XSC, const torch::Tensor& dy_XSO,
                                        int64_t K) {
  torch::NoGradGuard no_grad;
  CHECK_SHAPE(dy_XSO, x_XSC.size(0), x_XSC.size(1), dy_XSO.size(2));
  TORCH_CHECK(K % 2 == 1, "K=", K, " must be odd");
#ifdef LOCOCO_WITH_SM90A
  if (time_conv_is_fused(x_XSC, dy_XSO.size(2), K)) return fused_weight_gradient(x_XSC, dy_XSO, K);
#endif
  return library_weight_gradient(x_XSC, dy_XSO, K);
}

torch::Tensor time_conv_input_gradient(const torch::Tensor& dy_XSO,
                                       const torch::Tensor& weight_OCK) {
  torch::NoGradGuard no_grad;
  const int64_t O = dy_XSO.size(2), K = weight_OCK.size(2);
  CHECK_SHAPE(weight_OCK, O, -1, K);
  TORCH_CHECK(K % 2 == 1, "K=", K, " must be odd");
  const auto dx_XCS =
      at::conv_transpose1d(dy_XSO.transpose(1, 2), weight_OCK.to(dy_XSO.scalar_type()),
                           /*bias=*/{}, /*stride=*/1, /*padding=*/(K - 1) / 2);
  return dx_XCS.transpose(1, 2).contiguous();
}

}  // namespace lococo
