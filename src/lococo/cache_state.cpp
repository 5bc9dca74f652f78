#include "lococo/cache_state.h"

#include <torch/csrc/autograd/custom_function.h>

#include "tensor/shape.h"

namespace lococo {

void CacheState::use_home(int64_t slots) {
  const auto view = [&](const torch::Tensor& home) {
    const bool exists = slots > 0 && home.defined();
    return exists ? home.narrow(/*dim=*/2, 0, slots) : torch::Tensor();
  };
  k_BGSD = view(k_home_BGCD);
  v_BGSD = view(v_home_BGCD);
  mass_BGS = view(mass_home_BGC);
}

namespace {

torch::Tensor write_slots(const torch::Tensor& past, const torch::Tensor& fresh,
                          const torch::Tensor& home) {
  torch::NoGradGuard no_grad;
  const int64_t M = past.size(2), L = fresh.size(2);
  // A cache that was not compressed lies in its home already.
  const bool in_place = M > 0 && past.const_data_ptr() == home.const_data_ptr();
  // A policy may return later slots of what it was given: then source and target overlap.
  if (M > 0 && !in_place)
    home.narrow(/*dim=*/2, 0, M).copy_(past.is_alias_of(home) ? past.clone() : past);
  home.narrow(/*dim=*/2, M, L).copy_(fresh);
  return home.narrow(/*dim=*/2, 0, M + L);
}

struct AppendSlots : torch::autograd::Function<AppendSlots> {
  static torch::Tensor forward(torch::autograd::AutogradContext* context, const torch::Tensor& past,
                               const torch::Tensor& fresh, const torch::Tensor& home) {
    context->set_materialize_grads(false);
    context->saved_data["past"] = past.size(2);
    return write_slots(past, fresh, home);
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list gradients) {
    const auto& gradient = gradients[0];
    if (!gradient.defined()) return {torch::Tensor(), torch::Tensor(), torch::Tensor()};
    const int64_t M = context->saved_data["past"].toInt();
    const auto of_past = M > 0 ? gradient.narrow(/*dim=*/2, 0, M) : torch::Tensor();
    return {of_past, gradient.narrow(/*dim=*/2, M, gradient.size(2) - M), torch::Tensor()};
  }
};

}  // namespace

torch::Tensor append_slots(const torch::Tensor& past_BGMD, const torch::Tensor& fresh_BGLD,
                           const torch::Tensor& home_BGCD) {
  if (!home_BGCD.defined()) {
    return past_BGMD.defined() ? torch::cat({past_BGMD, fresh_BGLD}, /*dim=*/2) : fresh_BGLD;
  }
  // Autograd takes no undefined input: no slots are an empty view.
  const auto past = past_BGMD.defined() ? past_BGMD : home_BGCD.narrow(/*dim=*/2, 0, 0);
  const int64_t M = past.size(2);
  TORCH_CHECK(M + fresh_BGLD.size(2) <= home_BGCD.size(2), "S=", M + fresh_BGLD.size(2),
              " slots do not fit into C=", home_BGCD.size(2));
  const bool needs_gradient = fresh_BGLD.requires_grad() || past.requires_grad();
  if (!torch::GradMode::is_enabled() || !needs_gradient)
    return write_slots(past, fresh_BGLD, home_BGCD);
  return AppendSlots::apply(past, fresh_BGLD, home_BGCD);
}

}  // namespace lococo
