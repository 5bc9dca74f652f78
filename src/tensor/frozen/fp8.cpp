#include "tensor/frozen/fp8.h"

#include <limits>

#ifdef LOCOCO_WITH_CUDA
#include <ATen/cuda/CUDAContext.h>
#endif

#include "tensor/frozen/fp8_kernel.h"
#include "tensor/kit/kernel_input.h"
#include "tensor/kit/kernel_launch.h"
#include "tensor/kit/shape.h"
#include "tensor/kit/torch.h"

namespace lococo {
namespace {

using torch::Tensor;

constexpr auto kFp8 = torch::kFloat8_e4m3fn;

#ifdef LOCOCO_WITH_CUDA

bool kernel_takes(const Tensor& x_XE) {
  return has_kernel_element(x_XE) && x_XE.size(1) % 8 == 0 && x_XE.size(1) <= kFp8MostWidth &&
         x_XE.size(0) <= std::numeric_limits<int32_t>::max();
}

Fp8Rows run_kernel(const Tensor& x_XE, const Tensor& factor_E) {
  const auto x = kernel_ready(x_XE);
  const auto factor = factor_E.defined() ? kernel_ready(factor_E) : Tensor();
  Fp8Rows rows = {torch::empty(x.sizes(), x.options().dtype(kFp8)),
                  torch::empty({x.size(0)}, x.options().dtype(torch::kFloat32))};
  Fp8RowsTensors tensors;
  tensors.x = x.const_data_ptr();
  if (factor.defined()) tensors.factor = factor.const_data_ptr<float>();
  tensors.codes = rows.codes_XE.data_ptr();
  tensors.scale = rows.scale_X.data_ptr<float>();
  launch_on(x, [&](CUstream_st* stream) {
    launch_fp8_rows(tensors, x.size(0), x.size(1), element_type_of(x), stream);
  });
  return rows;
}

#endif

Tensor product_of(const Fp8Rows& x, const Tensor& codes, const Tensor& scale) {
  // Sums in the tensor cores' own precision would be a little faster, and have 14 bits.
  return at::_scaled_mm(x.codes_XE, codes.t(), x.scale_X.unsqueeze(1), scale.unsqueeze(0),
                        /*bias=*/{}, /*scale_result=*/{}, torch::kBFloat16,
                        /*use_fast_accum=*/false);
}

Tensor reference_of(const Fp8Rows& x, const Tensor& codes, const Tensor& scale,
                    torch::ScalarType dtype) {
  torch::NoGradGuard no_grad;
  return torch::mm(fp8_dequantise(x, torch::kFloat32),
                   fp8_dequantise({codes, scale}, torch::kFloat32).t())
      .to(dtype);
}

}  // namespace

Fp8Rows fp8_rows(const Tensor& x_XE, const Tensor& factor_E) {
  torch::NoGradGuard no_grad;
  CHECK_SHAPE(x_XE, -1, -1);
  if (factor_E.defined()) CHECK_SHAPE(factor_E, x_XE.size(1));
#ifdef LOCOCO_WITH_CUDA
  if (kernel_takes(x_XE)) return run_kernel(x_XE, factor_E);
#endif
  return fp8_rows_reference(x_XE, factor_E);
}

Fp8Rows fp8_rows_reference(const Tensor& x_XE, const Tensor& factor_E) {
  torch::NoGradGuard no_grad;
  auto values = x_XE.to(torch::kFloat32);
  if (factor_E.defined()) values = values * factor_E;
  const auto scale_X = values.abs().amax(/*dim=*/1).clamp_min(kFp8Smallest) * kFp8Part;
  const auto parts = values * scale_X.reciprocal().unsqueeze(1);
  return {parts.contiguous().to(kFp8), scale_X};
}

int64_t fp8_bytes(int64_t out_features, int64_t in_features, bool gradients) {
  constexpr int64_t kScale = sizeof(float);
  const int64_t rows = out_features * in_features + out_features * kScale;
  return rows + (gradients ? out_features * in_features + in_features * kScale : 0);
}

Fp8Matrix fp8_quantise(const Tensor& values_OE, bool gradients) {
  torch::NoGradGuard no_grad;
  Fp8Matrix matrix;
  matrix.rows_OE = fp8_rows(values_OE.detach());
  if (!gradients) return matrix;
  matrix.codes_EO =
      matrix.rows_OE.codes_XE.view(torch::kUInt8).t().contiguous().view(kFp8);  // bytes are moved
  matrix.ones_E = torch::ones({values_OE.size(1)}, values_OE.options().dtype(torch::kFloat32));
  return matrix;
}

Tensor fp8_dequantise(const Fp8Rows& rows, torch::ScalarType dtype) {
  torch::NoGradGuard no_grad;
  return (rows.codes_XE.to(torch::kFloat32) * rows.scale_X.unsqueeze(1)).to(dtype);
}

bool fp8_multiplies_on(torch::Device device) {
#ifdef LOCOCO_WITH_CUDA
  if (!device.is_cuda()) return false;
  const auto* properties = at::cuda::getDeviceProperties(
      device.has_index() ? device.index() : at::cuda::current_device());
  return properties->major >= 9 || (properties->major == 8 && properties->minor >= 9);
#else
  (void)device;
  return false;
#endif
}

bool fp8_takes(const Tensor& x_XE, int64_t out_features, int64_t in_features) {
  return x_XE.scalar_type() == torch::kBFloat16 && x_XE.numel() > 0 &&
         out_features % kFp8SizeStep == 0 && in_features % kFp8SizeStep == 0 &&
         fp8_multiplies_on(x_XE.device());
}

Tensor fp8_product(const Fp8Rows& x_XE, const Fp8Matrix& matrix) {
  return product_of(x_XE, matrix.rows_OE.codes_XE, matrix.rows_OE.scale_X);
}

Tensor fp8_input_gradient(const Fp8Rows& dy_XO, const Fp8Matrix& matrix) {
  TORCH_CHECK(matrix.codes_EO.defined(), "a matrix without the codes of gradients");
  return product_of(dy_XO, matrix.codes_EO, matrix.ones_E);
}

Tensor fp8_product_reference(const Fp8Rows& x_XE, const Fp8Matrix& matrix,
                             torch::ScalarType dtype) {
  return reference_of(x_XE, matrix.rows_OE.codes_XE, matrix.rows_OE.scale_X, dtype);
}

Tensor fp8_input_gradient_reference(const Fp8Rows& dy_XO, const Fp8Matrix& matrix,
                                    torch::ScalarType dtype) {
  TORCH_CHECK(matrix.codes_EO.defined(), "a matrix without the codes of gradients");
  return reference_of(dy_XO, matrix.codes_EO, matrix.ones_E, dtype);
}

}  // namespace lococo
