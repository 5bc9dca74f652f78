#include "soft/soft_choice.h"

#include "soft/soft_keep_cpu.h"
#include "soft/soft_keep_gradient_kernel.h"
#include "soft/soft_keep_kernel.h"
#include "soft/soft_keep_reference.h"
#include "tensor/kit/kernel_launch.h"
#include "tensor/kit/shape.h"
#include "tensor/kit/torch.h"

namespace lococo {
namespace {

/// Of a tensor that need not be there.
const float* floats_of(const torch::Tensor& tensor) {
  return tensor.defined() ? tensor.const_data_ptr<float>() : nullptr;
}

SoftKeepShape shape_of(const torch::Tensor& score_BGS, const SoftKeep& keep) {
  SoftKeepShape shape{};
  shape.rows = score_BGS.size(0) * score_BGS.size(1);
  shape.slots = static_cast<int>(score_BGS.size(2));
  shape.sinks = static_cast<int>(keep.sinks);
  shape.local = static_cast<int>(keep.local);
  shape.alone = static_cast<int>(keep.alone);
  shape.massed = static_cast<int>(keep.massed);
  shape.temperature = static_cast<float>(keep.temperature);
  return shape;
}

SoftChoice choose_by_kernel(const torch::Tensor& score_BGS, const torch::Tensor& massed_BGS,
                            const SoftKeep& keep) {
  const auto score = score_BGS.contiguous();
  const auto massed = keep.massed > 0 ? massed_BGS.contiguous() : torch::Tensor();
  const SoftChoice choice = {
      torch::empty(score.sizes(), score.options()),
      torch::empty({score.size(0), score.size(1), kSoftKeepThresholds}, score.options())};
  const auto shape = shape_of(score, keep);
  auto* log_keep = choice.log_keep_BGS.data_ptr<float>();
  auto* thresholds = choice.thresholds_BG4.data_ptr<float>();
  if (score.is_cuda()) {
#ifdef LOCOCO_WITH_CUDA
    launch_on(score, [&](CUstream_st* stream) {
      launch_soft_keep(floats_of(score), floats_of(massed), log_keep, thresholds, shape, stream);
    });
#endif
  } else {
    soft_keep_on_cpu(floats_of(score), floats_of(massed), log_keep, thresholds, shape);
  }
  return choice;
}

SoftChoiceGradient gradient_by_kernel(const SoftChoice& choice, const torch::Tensor& score_BGS,
                                      const torch::Tensor& massed_BGS,
                                      const torch::Tensor& d_log_keep_BGS, const SoftKeep& keep) {
  const auto score = score_BGS.contiguous(), d_log_keep = d_log_keep_BGS.contiguous();
  const auto massed = keep.massed > 0 ? massed_BGS.contiguous() : torch::Tensor();
  SoftChoiceGradient gradient = {torch::empty(score.sizes(), score.options()), {}};
  if (massed.defined()) gradient.massed_BGS = torch::empty(score.sizes(), score.options());
  const auto shape = shape_of(score, keep);
  const auto* thresholds = floats_of(choice.thresholds_BG4);
  auto* d_score = gradient.score_BGS.data_ptr<float>();
  auto* d_massed = massed.defined() ? gradient.massed_BGS.data_ptr<float>() : nullptr;
  if (score.is_cuda()) {
#ifdef LOCOCO_WITH_CUDA
    launch_on(score, [&](CUstream_st* stream) {
      launch_soft_keep_gradient(floats_of(score), floats_of(massed), thresholds,
                                floats_of(d_log_keep), d_score, d_massed, shape, stream);
    });
#endif
  } else {
    soft_keep_gradient_on_cpu(floats_of(score), floats_of(massed), thresholds,
                              floats_of(d_log_keep), d_score, d_massed, shape);
  }
  return gradient;
}

/// By autograd's own gradient of the slow form.
SoftChoiceGradient gradient_of_reference(const torch::Tensor& score_BGS,
                                         const torch::Tensor& massed_BGS,
                                         const torch::Tensor& d_log_keep_BGS,
                                         const SoftKeep& keep) {
  const torch::AutoGradMode on(true);
  torch::autograd::variable_list leaves = {score_BGS.detach().requires_grad_()};
  if (keep.massed > 0) leaves.push_back(massed_BGS.detach().requires_grad_());
  const auto log_keep =
      soft_keep_reference(leaves[0], leaves.size() > 1 ? leaves[1] : torch::Tensor(), keep);
  if (!log_keep.requires_grad()) return {};
  const auto found = torch::autograd::grad({log_keep}, leaves, {d_log_keep_BGS},
                                           /*retain_graph=*/std::nullopt, /*create_graph=*/false,
                                           /*allow_unused=*/true);
  return {found[0], found.size() > 1 ? found[1] : torch::Tensor()};
}

}  // namespace

void check_soft_keep_inputs(const torch::Tensor& score_BGS, const torch::Tensor& massed_BGS,
                            const SoftKeep& keep) {
  const auto dtype = score_BGS.scalar_type();
  CHECK_SHAPE(score_BGS, -1, -1, -1);
  TORCH_CHECK(dtype == torch::kFloat32 || dtype == torch::kFloat64,
              "score_BGS: want float32 or float64, not ", dtype);
  TORCH_CHECK(keep.sinks >= 0 && keep.local >= 0 && keep.alone >= 0 && keep.massed >= 0,
              "numbers of keys below 0");
  TORCH_CHECK(keep.temperature > 0.0, "want a temperature above 0, not ", keep.temperature);
  if (keep.massed == 0) return;
  TORCH_CHECK(massed_BGS.defined() && massed_BGS.sizes() == score_BGS.sizes() &&
                  massed_BGS.scalar_type() == dtype,
              "massed_BGS: want the shape and dtype of score_BGS");
}

bool takes_soft_choice_kernel(const torch::Tensor& score_BGS, const SoftKeep& keep) {
  const int64_t S = score_BGS.size(2);
  if (score_BGS.scalar_type() != torch::kFloat32 || score_BGS.numel() == 0 || keep.keeps_all(S))
    return false;
#ifdef LOCOCO_WITH_CUDA
  if (score_BGS.is_cuda()) return S <= kMaxSoftKeepSlots;
#endif
  return score_BGS.is_cpu();
}

SoftChoice choose_softly(const torch::Tensor& score_BGS, const torch::Tensor& massed_BGS,
                         const SoftKeep& keep) {
  const torch::NoGradGuard no_grad;
  check_soft_keep_inputs(score_BGS, massed_BGS, keep);
  if (takes_soft_choice_kernel(score_BGS, keep))
    return choose_by_kernel(score_BGS, massed_BGS, keep);
  return {soft_keep_reference(score_BGS, massed_BGS, keep), {}};
}

SoftChoiceGradient soft_choice_gradient(const SoftChoice& choice, const torch::Tensor& score_BGS,
                                        const torch::Tensor& massed_BGS,
                                        const torch::Tensor& d_log_keep_BGS, const SoftKeep& keep) {
  if (keep.keeps_all(score_BGS.size(2))) return {};
  if (choice.thresholds_BG4.defined())
    return gradient_by_kernel(choice, score_BGS, massed_BGS, d_log_keep_BGS, keep);
  return gradient_of_reference(score_BGS, massed_BGS, d_log_keep_BGS, keep);
}

}  // namespace lococo
