#include "tensor/layers/skinny_linear.h"

#include "tensor/kit/kernel_input.h"
#include "tensor/kit/kernel_launch.h"
#include "tensor/kit/matmul.h"
#include "tensor/kit/shape.h"
#include "tensor/layers/rms_norm.h"
#include "tensor/layers/skinny_linear_kernel.h"
#include "tensor/layers/skinny_operand.h"
#include "tensor/layers/swiglu.h"

#ifdef LOCOCO_WITH_CUDA
#include <ATen/cuda/CUDAContext.h>
#endif

namespace lococo {
namespace {

#ifdef LOCOCO_WITH_CUDA
/// What one launch does beside the products.
struct LinearExtras {
  SkinnyNorm norm = {};
  torch::Tensor residual = {};
  bool swiglu = false, wide = false;
};

std::vector<torch::Tensor> run_linear(const torch::Tensor& x_XK,
                                      const std::vector<torch::Tensor>& weights,
                                      const LinearExtras& extras) {
  TORCH_CHECK(!weights.empty() && weights.size() <= kSkinnyMaxWeights, "want 1 to 3 weights");
  const int64_t M = x_XK.size(0), K = x_XK.size(1);
  SkinnyLinearTensors tensors = {};
  SkinnyLinearShape shape = {};
  std::vector<torch::Tensor> outs;
  for (size_t i = 0; i < weights.size(); ++i) {
    CHECK_SHAPE(weights[i], -1, K);
    check_operand(weights[i], x_XK);
    const int64_t N = weights[i].size(0);
    if (i == 0 || !extras.swiglu) {
      outs.push_back(torch::empty(
          {M, N}, x_XK.options().dtype(extras.wide ? torch::kFloat32 : torch::kBFloat16)));
      tensors.outs[i] = outs.back().data_ptr();
    }
    tensors.weights[i] = weights[i].const_data_ptr();
    shape.outputs[i] = static_cast<int>(N);
  }
  tensors.x = x_XK.const_data_ptr();
  if (extras.norm.weight_K.defined()) {
    CHECK_SHAPE(extras.norm.weight_K, K);
    check_operand(extras.norm.weight_K, x_XK);
    tensors.norm = extras.norm.weight_K.const_data_ptr();
  }
  if (extras.residual.defined()) {
    CHECK_SHAPE(extras.residual, M, weights[0].size(0));
    check_operand(extras.residual, x_XK);
    tensors.residual = extras.residual.const_data_ptr();
  }
  shape.rows = static_cast<int>(M);
  shape.width = static_cast<int>(K);
  shape.swiglu = extras.swiglu;
  shape.wide = extras.wide;
  shape.epsilon = static_cast<float>(extras.norm.eps);
  const auto* device = at::cuda::getDeviceProperties(x_XK.get_device());
  shape.processors = device->multiProcessorCount;
  shape.overlap = device->major >= 9;
  launch_on(x_XK, [&](CUstream_st* stream) { launch_skinny_linear(tensors, shape, stream); });
  return outs;
}
#endif

}  // namespace

torch::Tensor normed_rows(const torch::Tensor& x_XK, const SkinnyNorm& norm) {
  return norm.weight_K.defined() ? rms_norm(x_XK, norm.weight_K, norm.eps) : x_XK;
}

bool has_skinny_kernel(const torch::Tensor& x_XK) {
#ifdef LOCOCO_WITH_CUDA
  if (!x_XK.is_cuda()) return false;
  // The rows lie in shared memory, beside a few sums; older GPUs have less of it.
  constexpr int64_t kSums = 1024;
  const auto* device = at::cuda::getDeviceProperties(x_XK.get_device());
  if (x_XK.numel() * 2 + kSums > static_cast<int64_t>(device->sharedMemPerBlockOptin)) return false;
  return x_XK.scalar_type() == torch::kBFloat16 && x_XK.dim() == 2 && x_XK.size(0) >= 1 &&
         x_XK.size(0) <= kSkinnyMaxRows && x_XK.size(1) % 8 == 0 && x_XK.numel() > 0 &&
         x_XK.numel() * 2 <= kSkinnyMaxBytes && x_XK.is_contiguous() && is_aligned(x_XK);
#else
  (void)x_XK;
  return false;
#endif
}

std::vector<torch::Tensor> skinny_linear(const torch::Tensor& x_XK, const SkinnyNorm& norm,
                                         const std::vector<torch::Tensor>& weights) {
  torch::NoGradGuard no_grad;
#ifdef LOCOCO_WITH_CUDA
  if (has_skinny_kernel(x_XK)) return run_linear(x_XK, weights, {norm});
#endif
  const auto x = normed_rows(x_XK, norm);
  std::vector<torch::Tensor> outs;
  for (const auto& weight : weights) outs.push_back(at::linear(x, weight));
  return outs;
}

torch::Tensor skinny_linear_add(const torch::Tensor& x_XK, const torch::Tensor& weight_NK,
                                const torch::Tensor& residual_XN) {
  torch::NoGradGuard no_grad;
#ifdef LOCOCO_WITH_CUDA
  if (has_skinny_kernel(x_XK)) return run_linear(x_XK, {weight_NK}, {{}, residual_XN})[0];
#endif
  return residual_XN + at::linear(x_XK, weight_NK);
}

torch::Tensor skinny_swiglu(const torch::Tensor& x_XK, const SkinnyNorm& norm,
                            const torch::Tensor& gate_NK, const torch::Tensor& up_NK) {
  torch::NoGradGuard no_grad;
  CHECK_SHAPE(up_NK, gate_NK.size(0), gate_NK.size(1));
#ifdef LOCOCO_WITH_CUDA
  if (has_skinny_kernel(x_XK))
    return run_linear(x_XK, {gate_NK, up_NK}, {norm, {}, /*swiglu=*/true})[0];
#endif
  const auto x = normed_rows(x_XK, norm);
  return swiglu(at::linear(x, gate_NK), at::linear(x, up_NK));
}

torch::Tensor skinny_linear_wide(const torch::Tensor& x_XK, const SkinnyNorm& norm,
                                 const torch::Tensor& weight_NK) {
  torch::NoGradGuard no_grad;
#ifdef LOCOCO_WITH_CUDA
  if (has_skinny_kernel(x_XK))
    return run_linear(x_XK, {weight_NK}, {norm, {}, /*swiglu=*/false, /*wide=*/true})[0];
#endif
  const auto x = normed_rows(x_XK, norm);
  return x.scalar_type() == torch::kFloat64 ? torch::mm(x, weight_NK.t())
                                            : matmul_f32(x, weight_NK.t());
}

}  // namespace lococo
