#include "tensor/layers/skinny_frozen.h"

#include "tensor/frozen/nf4_tables.h"
#include "tensor/kit/kernel_input.h"
#include "tensor/kit/kernel_launch.h"
#include "tensor/kit/shape.h"
#include "tensor/kit/torch.h"
#include "tensor/layers/skinny_frozen_kernel.h"
#include "tensor/layers/skinny_operand.h"
#include "tensor/layers/swiglu.h"

#ifdef LOCOCO_WITH_CUDA
#include <ATen/cuda/CUDAContext.h>
#endif

namespace lococo {
namespace {

using torch::Tensor;

Tensor side_by_side(const Tensor& x_XK, const std::vector<FrozenMatrix>& matrices) {
  const auto outputs = products(matrices, x_XK);
  return outputs.size() == 1 ? outputs.front() : torch::cat(outputs, /*dim=*/1);
}

#ifdef LOCOCO_WITH_CUDA

SkinnyForm form_of(const FrozenMatrix& matrix) {
  return matrix.is_nf4() ? SkinnyForm::kNf4 : SkinnyForm::kFp8;
}

SkinnyFrozenMatrix pointers_of(const FrozenMatrix& matrix) {
  SkinnyFrozenMatrix pointers;
  pointers.outputs = static_cast<int>(matrix.out_features());
  if (matrix.is_fp8()) {
    const auto& rows = matrix.fp8().rows_OE;
    pointers.codes = static_cast<const uint8_t*>(rows.codes_XE.const_data_ptr());
    pointers.row_scales = rows.scale_X.const_data_ptr<float>();
  } else {
    const auto& nf4 = matrix.nf4();
    pointers.codes = nf4.codes_P.const_data_ptr<uint8_t>();
    pointers.scale_codes = nf4.scale_codes_S.const_data_ptr<uint8_t>();
    pointers.group_scales = nf4.group_scales_T.const_data_ptr<float>();
    pointers.offset = nf4.offset.const_data_ptr<float>();
  }
  return pointers;
}

/// What one launch does beside the products.
struct FrozenExtras {
  SkinnyNorm norm = {};
  Tensor residual = {};
  bool swiglu = false;
};

Tensor run_frozen(const Tensor& x_XK, const std::vector<FrozenMatrix>& matrices,
                  const FrozenExtras& extras) {
  const int64_t X = x_XK.size(0), K = x_XK.size(1);
  SkinnyFrozenTensors tensors;
  SkinnyFrozenShape shape;
  int64_t N = 0;
  for (size_t i = 0; i < matrices.size(); ++i) {
    tensors.matrices[i] = pointers_of(matrices[i]);
    if (i == 0 || !extras.swiglu) N += matrices[i].out_features();
  }
  shape.form = form_of(matrices.front());
  Nf4Tables tables;
  if (shape.form == SkinnyForm::kNf4) {
    tables = nf4_tables(x_XK.device());
    tensors.values_16 = tables.values_16.const_data_ptr<float>();
    tensors.tree_256 = tables.tree_256.const_data_ptr<float>();
  }
  if (extras.norm.weight_K.defined()) {
    CHECK_SHAPE(extras.norm.weight_K, K);
    check_operand(extras.norm.weight_K, x_XK);
    tensors.norm = extras.norm.weight_K.const_data_ptr();
  }
  if (extras.residual.defined()) {
    CHECK_SHAPE(extras.residual, X, N);
    check_operand(extras.residual, x_XK);
    tensors.residual = extras.residual.const_data_ptr();
  }
  auto out_XN = torch::empty({X, N}, x_XK.options());
  tensors.x = x_XK.const_data_ptr();
  tensors.out = out_XN.data_ptr();
  shape.rows = static_cast<int>(X);
  shape.width = static_cast<int>(K);
  shape.swiglu = extras.swiglu;
  shape.epsilon = static_cast<float>(extras.norm.eps);
  const auto* device = at::cuda::getDeviceProperties(x_XK.get_device());
  shape.processors = device->multiProcessorCount;
  shape.overlap = device->major >= 9;
  shape.shared_bytes = static_cast<int64_t>(device->sharedMemPerBlockOptin);
  launch_on(x_XK, [&](CUstream_st* stream) { launch_skinny_frozen(tensors, shape, stream); });
  return out_XN;
}

#endif

}  // namespace

bool has_skinny_frozen(const Tensor& x_XK, const std::vector<FrozenMatrix>& matrices) {
#ifdef LOCOCO_WITH_CUDA
  if (!x_XK.is_cuda() || x_XK.scalar_type() != torch::kBFloat16 || x_XK.dim() != 2) return false;
  if (matrices.empty() || matrices.size() > kSkinnyFrozenMaxMatrices) return false;
  const int64_t X = x_XK.size(0), K = x_XK.size(1);
  if (X < 1 || X > kSkinnyFrozenMaxRows || K < 1 || K % kSkinnyFrozenWidthStep != 0) return false;
  if (!x_XK.is_contiguous() || !is_aligned(x_XK)) return false;
  const bool nf4 = matrices.front().is_nf4();
  for (const auto& matrix : matrices) {
    if (!(nf4 ? matrix.is_nf4() : matrix.is_fp8()) || matrix.in_features() != K) return false;
    if (matrix.out_features() < 1 || !is_aligned(matrix.parts().front())) return false;
  }
  constexpr int64_t kRest = 1024;  // what the kernels keep of fixed size
  return skinny_frozen_bytes(form_of(matrices.front()), X, K) + kRest <=
         static_cast<int64_t>(
             at::cuda::getDeviceProperties(x_XK.get_device())->sharedMemPerBlockOptin);
#else
  (void)x_XK, (void)matrices;
  return false;
#endif
}

Tensor skinny_frozen(const Tensor& x_XK, const SkinnyNorm& norm,
                     const std::vector<FrozenMatrix>& matrices) {
  torch::NoGradGuard no_grad;
#ifdef LOCOCO_WITH_CUDA
  if (has_skinny_frozen(x_XK, matrices)) return run_frozen(x_XK, matrices, {norm});
#endif
  return side_by_side(normed_rows(x_XK, norm), matrices);
}

Tensor skinny_frozen_add(const Tensor& x_XK, const FrozenMatrix& matrix,
                         const Tensor& residual_XN) {
  torch::NoGradGuard no_grad;
#ifdef LOCOCO_WITH_CUDA
  if (has_skinny_frozen(x_XK, {matrix})) return run_frozen(x_XK, {matrix}, {{}, residual_XN});
#endif
  return residual_XN + matrix.product(x_XK);
}

Tensor skinny_frozen_swiglu(const Tensor& x_XK, const SkinnyNorm& norm, const FrozenMatrix& gate,
                            const FrozenMatrix& up) {
  torch::NoGradGuard no_grad;
  TORCH_CHECK(gate.out_features() == up.out_features() && gate.in_features() == up.in_features(),
              "want gate and up of the same sizes");
#ifdef LOCOCO_WITH_CUDA
  if (has_skinny_frozen(x_XK, {gate, up}))
    return run_frozen(x_XK, {gate, up}, {norm, {}, /*swiglu=*/true});
#endif
  const auto both = products({gate, up}, normed_rows(x_XK, norm));
  return swiglu(both[0], both[1]);
}

}  // namespace lococo
