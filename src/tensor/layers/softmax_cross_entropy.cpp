#include "tensor/layers/softmax_cross_entropy.h"

#include <limits>

#include "tensor/kit/kernel_input.h"
#include "tensor/kit/kernel_launch.h"
#include "tensor/kit/shape.h"
#include "tensor/layers/softmax_cross_entropy_kernel.h"

namespace lococo {
bool softmax_cross_entropy_takes([[maybe_unused]] const torch::Tensor& logits_XV,
                                 [[maybe_unused]] torch::ScalarType gradient_dtype) {
#ifdef LOCOCO_WITH_CUDA
  constexpr int64_t kMost = std::numeric_limits<int32_t>::max() / 2;
  return has_kernel_element(logits_XV) &&
         (gradient_dtype == torch::kBFloat16 || gradient_dtype == torch::kFloat32) &&
         logits_XV.size(0) < kMost && logits_XV.size(1) < kMost;
#else
  return false;
#endif
}

SoftmaxCrossEntropy softmax_cross_entropy(const torch::Tensor& logits_XV,
                                          const torch::Tensor& targets_X, int64_t ignored_target,
                                          std::optional<torch::ScalarType> gradient_dtype) {
  TORCH_CHECK(softmax_cross_entropy_takes(logits_XV, gradient_dtype.value_or(torch::kFloat32)),
              "softmax_cross_entropy: no kernel for these logits");
  SoftmaxCrossEntropy result;
#ifdef LOCOCO_WITH_CUDA
  const int64_t X = logits_XV.size(0), V = logits_XV.size(1);
  CHECK_SHAPE(targets_X, X);
  TORCH_CHECK(logits_XV.is_contiguous() && is_aligned(logits_XV),
              "logits_XV: want contiguous rows at a multiple of 16 bytes");
  const auto targets = targets_X.contiguous();
  result.nll_X = torch::empty({X}, logits_XV.options().dtype(torch::kFloat32));
  SoftmaxCrossEntropyArguments arguments{};
  arguments.logits = logits_XV.const_data_ptr();
  arguments.logit_type = element_type_of(logits_XV);
  arguments.targets = targets.const_data_ptr<int64_t>();
  arguments.ignored_target = ignored_target;
  arguments.nll = result.nll_X.data_ptr<float>();
  if (gradient_dtype) {
    result.gradient_XV = torch::empty({X, V}, logits_XV.options().dtype(*gradient_dtype));
    arguments.gradient = result.gradient_XV.data_ptr();
    arguments.gradient_type = element_type_of(result.gradient_XV);
  }
  arguments.X = X;
  arguments.V = V;
  launch_on(logits_XV,
            [&](CUstream_st* stream) { launch_softmax_cross_entropy(arguments, stream); });
#endif
  return result;
}

}  // namespace lococo
