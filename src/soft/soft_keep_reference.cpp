#include "soft/soft_keep_reference.h"

#include <cmath>
#include <limits>

#include "soft/soft_choice.h"
#include "soft/soft_keep_kernel.h"
#include "tensor/kit/torch.h"

namespace lococo {
namespace {

/// The sum of keep = a + (1 - a) b for a = sigmoid(x), b = sigmoid(y), less `wanted`; [B, G, 1]. A
/// whole number of keys is taken out of the sum first: between two distant scores the rest is
/// far smaller than the rounding of that number, and its sign decides.
torch::Tensor excess(const torch::Tensor& x_BGS, const torch::Tensor& y_BGS, int64_t wanted) {
  const auto chosen_BGS = (x_BGS > 0).logical_or(y_BGS > 0);
  const auto rest_BGS = torch::sigmoid(-x_BGS) * torch::sigmoid(-y_BGS);
  const auto keep_BGS = torch::sigmoid(x_BGS) + torch::sigmoid(-x_BGS) * torch::sigmoid(y_BGS);
  return (chosen_BGS.sum(-1, /*keepdim=*/true) - wanted) +
         torch::where(chosen_BGS, -rest_BGS, keep_BGS).sum(-1, /*keepdim=*/true);
}

torch::Tensor slope_of(const torch::Tensor& x) { return torch::sigmoid(x) * torch::sigmoid(-x); }

/// tau [B, G, 1] such that keep of x and y = (values - tau) / T sums to before + count, where
/// sigmoid(x) alone sums to `before`. Newton's steps while they shrink and stay inside a known
/// interval, else its middle: a sum that hardly changes between two distant scores would send
/// Newton's alone astray.
torch::Tensor threshold_of(const torch::Tensor& x_BGS, const torch::Tensor& values_BGS,
                           int64_t before, int64_t count, double temperature) {
  const torch::NoGradGuard no_grad;
  const auto left = static_cast<double>(values_BGS.size(2) - before - count);
  // Were all values equal, the threshold would be this far above them.
  const double shift = temperature * std::log(left / static_cast<double>(count));
  auto low = values_BGS.amin(-1, /*keepdim=*/true) + (shift - 0.01 * temperature);
  auto high = values_BGS.amax(-1, /*keepdim=*/true) + (shift + 0.01 * temperature);
  auto tau = 0.5 * (low + high);
  auto last = high - low;
  constexpr int kSteps = 128;        // enough to halve twice to the last bit of a float64
  constexpr double kSmall = 1e-300;  // for a slope that is nothing
  constexpr double kExact = 1e-12, kRounding = 1e-15;
  for (int i = 0; i < kSteps; ++i) {
    const auto y_BGS = (values_BGS - tau) / temperature;
    const auto too_much = excess(x_BGS, y_BGS, before + count);
    low = torch::where(too_much > 0, tau, low);
    high = torch::where(too_much > 0, high, tau);
    const auto fall = (torch::sigmoid(-x_BGS) * slope_of(y_BGS)).sum(-1, /*keepdim=*/true);
    const auto step = temperature * too_much / fall.clamp_min(kSmall);
    // Asking would make a GPU wait.
    const auto enough = kExact * temperature + kRounding * tau.abs();
    const bool ready = !step.is_cuda() && (step.abs() <= enough).all().item<bool>();
    if (ready) return tau;
    const auto newton = tau + step;
    const auto good = (newton > low).logical_and(newton < high) & (2.0 * step.abs() < last.abs());
    const auto next = torch::where(good, newton, 0.5 * (low + high));
    last = next - tau;
    tau = next;
  }
  return 0.5 * (low + high);
}

/// 0 with the gradient of x.
torch::Tensor change_of(const torch::Tensor& x) { return x - x.detach(); }

/// The sum of weighted over that of total, along the last axis. Where the latter is 0 all keys are
/// far from the threshold, and wherever it moves changes none.
torch::Tensor mean_change(const torch::Tensor& weighted, const torch::Tensor& total) {
  constexpr double kLeast = 1e-300;
  return weighted.sum(-1, /*keepdim=*/true) / total.sum(-1, /*keepdim=*/true).clamp_min(kLeast);
}

/// log(1 + exp(x)); torch.softplus is x itself above 20.
torch::Tensor smooth_ramp(const torch::Tensor& x) {
  return torch::logaddexp(x, torch::zeros({}, x.options()));
}

/// log keep of the candidates alone, float64.
torch::Tensor log_keep_of(const torch::Tensor& score_BGS, const torch::Tensor& massed_BGS,
                          const SoftKeep& keep) {
  const double T = keep.temperature;
  auto x_BGS = torch::full_like(score_BGS, -std::numeric_limits<double>::infinity());
  auto q_BGS = torch::zeros_like(score_BGS);
  torch::Tensor d_tau1 = torch::zeros({}, score_BGS.options());
  if (keep.alone > 0) {
    const auto tau1 = threshold_of(x_BGS, score_BGS.detach(), 0, keep.alone, T);
    const auto slope_BGS = slope_of((score_BGS.detach() - tau1) / T);
    d_tau1 = mean_change(slope_BGS * change_of(score_BGS), slope_BGS);
    x_BGS = (score_BGS - (tau1 + d_tau1)) / T;
    q_BGS = q_BGS + smooth_ramp(x_BGS);
  }
  if (keep.massed > 0) {
    const auto x = x_BGS.detach();
    const auto tau2 = threshold_of(x, massed_BGS.detach(), keep.alone, keep.massed, T);
    const auto y = (massed_BGS.detach() - tau2) / T;
    const auto b_slope_BGS = torch::sigmoid(-x) * slope_of(y);
    const auto by_mass_BGS = b_slope_BGS * change_of(massed_BGS);
    const auto by_score_BGS = torch::sigmoid(y) * slope_of(x) * (change_of(score_BGS) - d_tau1);
    const auto d_tau2 = mean_change(by_mass_BGS - by_score_BGS, b_slope_BGS);
    q_BGS = q_BGS + smooth_ramp((massed_BGS - (tau2 + d_tau2)) / T);
  }
  // keep = 1 - exp(-q). The bound is put on q, where no gradient is infinite yet.
  const double least_q = -std::log1p(-std::exp(kLeastLogKeep));
  return torch::log(-torch::expm1(-q_BGS.clamp_min(least_q)));
}

}  // namespace

torch::Tensor soft_keep_reference(const torch::Tensor& score_BGS, const torch::Tensor& massed_BGS,
                                  const SoftKeep& keep) {
  check_soft_keep_inputs(score_BGS, massed_BGS, keep);
  if (keep.keeps_all(score_BGS.size(2)))
    return torch::zeros(score_BGS.sizes(), score_BGS.options());
  const int64_t candidates = keep.candidates(score_BGS.size(2));
  auto between = [&](const torch::Tensor& x_BGS) {
    return x_BGS.narrow(/*dim=*/2, keep.sinks, candidates).to(torch::kFloat64);
  };
  const auto log_keep = log_keep_of(between(score_BGS),
                                    keep.massed > 0 ? between(massed_BGS) : torch::Tensor(), keep);
  return torch::constant_pad_nd(log_keep, {keep.sinks, keep.local}).to(score_BGS.scalar_type());
}

}  // namespace lococo
