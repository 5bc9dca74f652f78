#include "lococo/cache_state.h"

#include <torch/csrc/autograd/custom_function.h>

#include "tensor/kit/kernel_launch.h"

#ifdef LOCOCO_WITH_CUDA
#include "lococo/append_kernel.h"
#include "lococo/slot_views.h"
#endif

namespace lococo {

const std::array<CacheState::Field, 5>& CacheState::fields() {
  static const std::array<Field, 5> all = {{{&CacheState::k_BGSD, &CacheState::k_home_BGCD},
                                            {&CacheState::v_BGSD, &CacheState::v_home_BGCD},
                                            {&CacheState::mass_BGS, &CacheState::mass_home_BGC},
                                            {&CacheState::score_BGS, &CacheState::score_home_BGC},
                                            {&CacheState::place_BGS, &CacheState::place_home_BGC}}};
  return all;
}

void CacheState::use_home_of(const CacheState& before, int64_t slots) {
  for (const auto& field : fields()) {
    const auto& home = before.*field.home;
    const bool exists = slots > 0 && home.defined();
    this->*field.slots = exists ? home.narrow(/*dim=*/2, 0, slots) : torch::Tensor();
  }
}

CacheState CacheState::copy_of_home(int64_t slots) const {
  CacheState copy;
  for (const auto& field : fields()) {
    const auto& home = this->*field.home;
    if (home.defined()) copy.*field.slots = home.narrow(/*dim=*/2, 0, slots).clone();
  }
  return copy;
}

void CacheState::put_into_home(const CacheState& from) {
  for (const auto& field : fields()) {
    const auto &slots = from.*field.slots, &home = this->*field.home;
    if (!slots.defined()) continue;
    // A policy may return a view of what it was given, and then source and target overlap.
    home.narrow(/*dim=*/2, 0, slots.size(2)).copy_(slots.is_alias_of(home) ? slots.clone() : slots);
  }
}

int64_t CacheState::home_bytes() const {
  int64_t bytes = 0;
  for (const auto& field : fields()) {
    const auto& home = this->*field.home;
    bytes += home.defined() ? static_cast<int64_t>(home.nbytes()) : 0;
  }
  return bytes;
}

void CacheState::grow_home(int64_t slots) {
  for (const auto& field : fields()) {
    auto& home = this->*field.home;
    if (!home.defined()) continue;
    auto sizes = home.sizes().vec();
    sizes[2] = slots;
    const auto grown = torch::zeros(sizes, home.options());
    grown.narrow(/*dim=*/2, 0, home.size(2)).copy_(home);
    home = grown;
  }
}

CacheState CacheState::rows(int64_t first, int64_t count) const {
  CacheState rows;
  for (const auto& field : fields()) {
    const auto& home = this->*field.home;
    if (home.defined()) rows.*field.home = home.narrow(/*dim=*/0, first, count);
  }
  rows.prepared_KOC = prepared_KOC;
  return rows;
}

namespace {

#ifdef LOCOCO_WITH_CUDA
/// bfloat16 on a GPU whose channels can be moved 16 bytes at a time.
bool has_kernel(const torch::Tensor& past, const torch::Tensor& fresh, const torch::Tensor& home) {
  constexpr int64_t kMostRows = 65535;  // of a launch's second axis
  const bool half = home.scalar_type() == torch::kBFloat16 &&
                    past.scalar_type() == torch::kBFloat16 &&
                    fresh.scalar_type() == torch::kBFloat16;
  return home.is_cuda() && half && home.size(3) % 8 == 0 && is_vectorised(past) &&
         is_vectorised(fresh) && is_vectorised(home) && home.size(0) * home.size(1) <= kMostRows;
}

void launch(const torch::Tensor& past, const torch::Tensor& fresh, const torch::Tensor& target) {
  const AppendShape shape = {target.size(0) * target.size(1), target.size(1),
                             static_cast<int>(past.size(2)), static_cast<int>(fresh.size(2)),
                             static_cast<int>(target.size(3))};
  launch_on(target, [&](CUstream_st* stream) {
    launch_append_slots(view_of(past), view_of(fresh), mutable_view_of(target), shape, stream);
  });
}
#endif

torch::Tensor write_appended(const torch::Tensor& past, const torch::Tensor& fresh,
                             const torch::Tensor& home) {
  torch::NoGradGuard no_grad;
  const int64_t M = past.size(2), L = fresh.size(2);
  const auto written = home.narrow(/*dim=*/2, 0, M + L);
  // A cache that was not compressed lies in its home already.
  const bool in_place = M > 0 && past.const_data_ptr() == home.const_data_ptr();
  // A policy may return later slots of what it was given: then source and target overlap.
  const auto source = M > 0 && !in_place && past.is_alias_of(home) ? past.clone() : past;
  const int64_t kept = in_place ? M : 0;  // slots that stay as they are
#ifdef LOCOCO_WITH_CUDA
  if (has_kernel(source, fresh, home)) {
    launch(source.narrow(/*dim=*/2, kept, M - kept), fresh,
           written.narrow(/*dim=*/2, kept, M + L - kept));
    return written;
  }
#endif
  if (kept < M) home.narrow(/*dim=*/2, 0, M).copy_(source);
  home.narrow(/*dim=*/2, M, L).copy_(fresh);
  return written;
}

struct AppendSlots : torch::autograd::Function<AppendSlots> {
  static torch::Tensor forward(torch::autograd::AutogradContext* context, const torch::Tensor& past,
                               const torch::Tensor& fresh, const torch::Tensor& home) {
    context->set_materialize_grads(false);
    context->saved_data["past"] = past.size(2);
    return write_appended(past, fresh, home);
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
    return write_appended(past, fresh_BGLD, home_BGCD);
  return AppendSlots::apply(past, fresh_BGLD, home_BGCD);
}

torch::Tensor append_numbers(const torch::Tensor& past_BGM, const torch::Tensor& fresh_BGL,
                             const torch::Tensor& home_BGC) {
  torch::NoGradGuard no_grad;
  if (!home_BGC.defined()) {
    return past_BGM.defined() ? torch::cat({past_BGM, fresh_BGL}, /*dim=*/2) : fresh_BGL.detach();
  }
  const int64_t M = past_BGM.defined() ? past_BGM.size(2) : 0, L = fresh_BGL.size(2);
  TORCH_CHECK(M + L <= home_BGC.size(2), "S=", M + L,
              " slots do not fit into C=", home_BGC.size(2));
  const bool in_place = M > 0 && past_BGM.const_data_ptr() == home_BGC.const_data_ptr();
  if (M > 0 && !in_place)
    home_BGC.narrow(/*dim=*/2, 0, M)
        .copy_(past_BGM.is_alias_of(home_BGC) ? past_BGM.clone() : past_BGM);
  home_BGC.narrow(/*dim=*/2, M, L).copy_(fresh_BGL);
  return home_BGC.narrow(/*dim=*/2, 0, M + L);
}

}  // namespace lococo
