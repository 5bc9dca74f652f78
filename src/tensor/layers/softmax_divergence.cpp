#include "tensor/layers/softmax_divergence.h"

#include <limits>

#include "tensor/kit/kernel_input.h"
#include "tensor/kit/kernel_launch.h"
#include "tensor/kit/shape.h"
#include "tensor/layers/softmax_divergence_kernel.h"

namespace lococo {

bool softmax_divergence_takes([[maybe_unused]] const torch::Tensor& logits_XV) {
#ifdef LOCOCO_WITH_CUDA
  constexpr int64_t kMost = std::numeric_limits<int32_t>::max() / 2;
  return logits_XV.is_cuda() && logits_XV.scalar_type() == torch::kFloat32 &&
         logits_XV.is_contiguous() && is_aligned(logits_XV) && logits_XV.size(0) > 0 &&
         logits_XV.size(0) < kMost && logits_XV.size(1) < kMost;
#else
  return false;
#endif
}

SoftmaxDivergence softmax_divergence(const torch::Tensor& student_XV,
                                     const torch::Tensor& teacher_XV,
                                     const torch::Tensor& weights_X, const torch::Tensor& targets_X,
                                     const torch::Tensor& truth_X) {
  const int64_t X = student_XV.size(0), V = student_XV.size(1);
  TORCH_CHECK(softmax_divergence_takes(student_XV) && softmax_divergence_takes(teacher_XV),
              "softmax_divergence: no kernel for these logits");
  CHECK_SHAPE(teacher_XV, X, V);
  CHECK_SHAPE(weights_X, X);
  const auto options = student_XV.options();
  const SoftmaxDivergence result = {torch::empty({X}, options),
                                    torch::empty({X, V}, options.dtype(torch::kBFloat16))};
#ifdef LOCOCO_WITH_CUDA
  const auto weights = weights_X.to(torch::kFloat32).contiguous();
  torch::Tensor truth, targets;
  SoftmaxDivergenceArguments arguments{};
  if (truth_X.defined()) {
    CHECK_SHAPE(truth_X, X);
    CHECK_SHAPE(targets_X, X);
    truth = truth_X.to(torch::kFloat32).contiguous();
    targets = targets_X.contiguous();
    arguments.truth = truth.const_data_ptr<float>();
    arguments.targets = targets.const_data_ptr<int64_t>();
  }
  arguments.student = student_XV.const_data_ptr<float>();
  arguments.teacher = teacher_XV.const_data_ptr<float>();
  arguments.weights = weights.const_data_ptr<float>();
  arguments.loss = result.loss_X.data_ptr<float>();
  arguments.gradient = result.gradient_XV.data_ptr();
  arguments.X = X;
  arguments.V = V;
  launch_on(student_XV, [&](CUstream_st* stream) { launch_softmax_divergence(arguments, stream); });
#endif
  return result;
}

}  // namespace lococo
