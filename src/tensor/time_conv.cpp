#include "tensor/time_conv.h"

#include <ATen/Functions.h>

#include "tensor/shape.h"

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

}  // namespace

bool time_conv_is_fused(const torch::Tensor& /*x_XSC*/, int64_t /*O*/, int64_t /*K*/) {
  return false;
}

torch::Tensor time_conv_forward(const torch::Tensor& x_XSC, const torch::Tensor& weight_OCK,
                                const torch::Tensor& bias_O, bool relu) {
  torch::NoGradGuard no_grad;
  const int64_t C = x_XSC.size(2), O = weight_OCK.size(0), K = weight_OCK.size(2);
  CHECK_SHAPE(weight_OCK, O, C, K);
  CHECK_SHAPE(bias_O, O);
  TORCH_CHECK(K % 2 == 1, "K=", K, " must be odd");
  return library_forward(x_XSC, weight_OCK, bias_O, relu);
}

torch::Tensor time_conv_weight_gradient(const torch::Tensor& x_XSC, const torch::Tensor& dy_XSO,
                                        int64_t K) {
  torch::NoGradGuard no_grad;
  CHECK_SHAPE(dy_XSO, x_XSC.size(0), x_XSC.size(1), dy_XSO.size(2));
  TORCH_CHECK(K % 2 == 1, "K=", K, " must be odd");
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
