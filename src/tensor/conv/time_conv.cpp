#include "tensor/conv/time_conv.h"

#include <ATen/Functions.h>

#include "tensor/conv/time_conv_forward_kernel.h"
#include "tensor/conv/time_conv_pack_kernel.h"
#include "tensor/conv/time_conv_weight_gradient_kernel.h"
#include "tensor/kit/kernel_input.h"
#include "tensor/kit/kernel_launch.h"
#include "tensor/kit/shape.h"
#include "tensor/kit/wide.h"

#ifdef LOCOCO_WITH_SM90A
#include <ATen/cuda/CUDAContext.h>
#include <c10/cuda/CUDAException.h>
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
  const auto wide = wide_of(x_XSC);
  return std::get<1>(gradients).to(wide);
}

#ifdef LOCOCO_WITH_SM90A
void check_launch(int error) { C10_CUDA_CHECK(static_cast<cudaError_t>(error)); }

TimeConvShape shape_of(const torch::Tensor& x_XSC, int64_t O, int64_t K) {
  return {x_XSC.size(0), x_XSC.size(1), x_XSC.size(2), O, K};
}

/// What the kernels ask of the device and of the sizes.
bool has_kernels(const torch::Device& device, int64_t C, int64_t O, int64_t K) {
  return time_conv_has_kernels(device) && C > 0 && C % 64 == 0 && O > 0 && O % 8 == 0 &&
         K % 2 == 1 && K <= kTimeConvMaxTaps;
}

void check_packed(const torch::Tensor& packed_KOC, const torch::Tensor& weight_OCK) {
  CHECK_SHAPE(packed_KOC, weight_OCK.size(2), weight_OCK.size(0), weight_OCK.size(1));
  TORCH_CHECK(packed_KOC.scalar_type() == torch::kBFloat16 && packed_KOC.is_contiguous() &&
                  packed_KOC.device() == weight_OCK.device(),
              "not a weight that time_conv_pack made");
}

/// The pack that was given, or a new one.
torch::Tensor packed_or_pack(const torch::Tensor& packed_KOC, const torch::Tensor& weight_OCK) {
  auto packed = packed_KOC;
  if (packed.defined()) {
    check_packed(packed, weight_OCK);
  } else {
    time_conv_pack(weight_OCK, packed);
  }
  return packed;
}

torch::Tensor fused_forward(const torch::Tensor& x_XSC, const torch::Tensor& weight_OCK,
                            const torch::Tensor& bias_O, bool relu,
                            const torch::Tensor& packed_KOC) {
  const int64_t O = weight_OCK.size(0), K = weight_OCK.size(2);
  const auto x = kernel_ready(x_XSC);
  const auto packed = packed_or_pack(packed_KOC, weight_OCK);
  const auto bias = bias_O.to(torch::kFloat32).contiguous();
  auto y_XSO = torch::empty({x.size(0), x.size(1), O}, x.options());
  launch_on(x, [&](CUstream_st* stream) {
    check_launch(launch_time_conv_forward(x.const_data_ptr(), packed.const_data_ptr(),
                                          bias.const_data_ptr<float>(), y_XSO.data_ptr(), relu,
                                          shape_of(x, O, K), stream));
  });
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
  launch_on(x, [&](CUstream_st* stream) {
    check_launch(launch_time_conv_weight_gradient(
        x.const_data_ptr(), dy.const_data_ptr(), workspace.data_ptr<float>(),
        dw_OCK.data_ptr<float>(), shape, processors, stream));
  });
  return dw_OCK;
}
#endif

}  // namespace

bool time_conv_has_kernels([[maybe_unused]] torch::Device device) {
#ifdef LOCOCO_WITH_SM90A
  if (!device.is_cuda()) return false;
  const auto* properties = at::cuda::getDeviceProperties(
      device.has_index() ? device.index() : at::cuda::current_device());
  return properties->major == 9 && properties->minor == 0;
#else
  return false;
#endif
}

bool time_conv_is_fused([[maybe_unused]] const torch::Tensor& x_XSC, [[maybe_unused]] int64_t O,
                        [[maybe_unused]] int64_t K) {
#ifdef LOCOCO_WITH_SM90A
  return x_XSC.scalar_type() == torch::kBFloat16 && x_XSC.numel() > 0 &&
         has_kernels(x_XSC.device(), x_XSC.size(2), O, K);
#else
  return false;
#endif
}

void time_conv_pack([[maybe_unused]] const torch::Tensor& weight_OCK,
                    [[maybe_unused]] torch::Tensor& packed_KOC) {
#ifdef LOCOCO_WITH_SM90A
  torch::NoGradGuard no_grad;
  const int64_t O = weight_OCK.size(0), C = weight_OCK.size(1), K = weight_OCK.size(2);
  if (!has_kernels(weight_OCK.device(), C, O, K)) return;
  const auto weight = weight_OCK.to(torch::kFloat32).contiguous();
  if (!packed_KOC.defined())
    packed_KOC = torch::empty({K, O, C}, weight.options().dtype(torch::kBFloat16));
  check_packed(packed_KOC, weight);
  const TimeConvShape shape = {/*sequences=*/0, /*rows=*/0, C, O, K};  // of the weight alone
  launch_on(weight, [&](CUstream_st* stream) {
    check_launch(launch_time_conv_pack(weight.const_data_ptr<float>(), packed_KOC.data_ptr(), shape,
                                       stream));
  });
#endif
}

torch::Tensor time_conv_forward(const torch::Tensor& x_XSC, const torch::Tensor& weight_OCK,
                                const torch::Tensor& bias_O, bool relu,
                                [[maybe_unused]] const torch::Tensor& packed_KOC) {
  torch::NoGradGuard no_grad;
  const int64_t C = x_XSC.size(2), O = weight_OCK.size(0), K = weight_OCK.size(2);
  CHECK_SHAPE(weight_OCK, O, C, K);
  CHECK_SHAPE(bias_O, O);
  TORCH_CHECK(K % 2 == 1, "K=", K, " must be odd");
#ifdef LOCOCO_WITH_SM90A
  if (time_conv_is_fused(x_XSC, O, K))
    return fused_forward(x_XSC, weight_OCK, bias_O, relu, packed_KOC);
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

}  // namespace lococo
