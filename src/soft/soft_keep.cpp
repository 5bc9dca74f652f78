#include "soft/soft_keep.h"

#include <torch/csrc/autograd/custom_function.h>

#include "soft/soft_choice.h"
#include "soft/soft_keep_reference.h"
#include "tensor/kit/torch.h"

namespace lococo {
namespace {

struct SoftKeepFunction : torch::autograd::Function<SoftKeepFunction> {
  static torch::Tensor forward(torch::autograd::AutogradContext* context,
                               const torch::Tensor& score_BGS, const torch::Tensor& massed_BGS,
                               const SoftKeep& keep) {
    const auto choice = choose_softly(score_BGS, massed_BGS, keep);
    context->set_materialize_grads(false);
    context->save_for_backward({score_BGS, massed_BGS, choice.thresholds_BG4});
    context->saved_data["sinks"] = keep.sinks;
    context->saved_data["local"] = keep.local;
    context->saved_data["alone"] = keep.alone;
    context->saved_data["massed"] = keep.massed;
    context->saved_data["temperature"] = keep.temperature;
    return choice.log_keep_BGS;
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list output_gradients) {
    if (!output_gradients[0].defined()) return {torch::Tensor(), torch::Tensor(), torch::Tensor()};
    const auto saved = context->get_saved_variables();
    auto& data = context->saved_data;
    const SoftKeep keep = {data["sinks"].toInt(), data["local"].toInt(), data["alone"].toInt(),
                           data["massed"].toInt(), data["temperature"].toDouble()};
    const auto gradient =
        soft_choice_gradient({{}, saved[2]}, saved[0], saved[1], output_gradients[0], keep);
    return {gradient.score_BGS, gradient.massed_BGS, torch::Tensor()};
  }
};

}  // namespace

torch::Tensor soft_keep(const torch::Tensor& score_BGS, const torch::Tensor& massed_BGS,
                        const SoftKeep& keep) {
  check_soft_keep_inputs(score_BGS, massed_BGS, keep);
  if (!takes_soft_choice_kernel(score_BGS, keep))
    return soft_keep_reference(score_BGS, massed_BGS, keep);
  // Masses that no gate reads stay out of the graph; autograd takes no undefined input.
  const auto massed = keep.massed > 0 ? massed_BGS : score_BGS.detach();
  return SoftKeepFunction::apply(score_BGS, massed, keep);
}

}  // namespace lococo
