#include "soft/soft_keep_cpu.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace lococo {
namespace {

/// sigmoid(x) and one minus it, neither of which loses digits.
struct Gate {
  double on = 0.0, off = 1.0;
  bool open = false;
  double slope() const { return on * off; }
};

Gate gate_of(double x) {
  const double small = std::exp(-std::abs(x)), large = 1.0 / (1.0 + small);
  return x > 0 ? Gate{large, small * large, true} : Gate{small * large, large, false};
}

/// What both gates give for a key: keep = a + (1 - a) b, and how far it is from 1.
struct Kept {
  Kept(const Gate& one, const Gate& two)
      : keep(one.on + one.off * two.on), rest(one.off * two.off) {}
  double keep, rest;
};

/// The candidates of a row: those between sinks and newest.
struct Row {
  Row(const float* values, const SoftKeepShape& shape, int64_t row)
      : first(values + row * shape.slots + shape.sinks) {}
  double operator[](int j) const { return first[j]; }
  const float* first;
};

int candidates_of(const SoftKeepShape& shape) { return shape.slots - shape.sinks - shape.local; }

/// How a threshold fits: the sum over all keys less the one wanted, and how fast that falls.
struct Fit {
  double excess = 0.0, fall = 0.0;
};

Fit fit_of(const Row& values, const std::vector<Gate>& gates, double tau, int wanted,
           double temperature) {
  // Whole keys apart from the rest: between two distant scores the rest is far smaller than the
  // rounding of their number, and its sign decides.
  Fit fit;
  int chosen = 0;
  for (size_t j = 0; j < gates.size(); ++j) {
    const Gate& one = gates[j];
    const Gate two = gate_of((values[static_cast<int>(j)] - tau) / temperature);
    const Kept kept(one, two);
    const bool is_chosen = one.open || two.open;
    chosen += is_chosen;
    fit.excess += is_chosen ? -kept.rest : kept.keep;
    fit.fall += one.off * two.slope();
  }
  fit.excess += chosen - wanted;
  return fit;
}

/// The threshold at which both gates' keep sums to before + count, where the first alone sums to
/// `before`. Newton's steps while they shrink and stay inside a known interval, else its middle.
double threshold_of(const Row& values, const std::vector<Gate>& gates, int before, int count,
                    double temperature) {
  const auto keys = static_cast<int>(gates.size());
  double least = values[0], most = least, sum = 0.0;
  for (int j = 0; j < keys; ++j) {
    least = std::min(least, values[j]);
    most = std::max(most, values[j]);
    sum += values[j];
  }
  // Were all values equal, the threshold would be this far above them.
  const double shift = temperature * std::log(static_cast<double>(keys - before - count) / count);
  double low = least + shift - 0.01 * temperature, high = most + shift + 0.01 * temperature;
  double tau = std::clamp(sum / keys + shift, low, high), last = high - low;
  constexpr int kSteps = 128;        // enough to halve twice to the last bit of a double
  constexpr double kSmall = 1e-300;  // for a slope that is nothing
  constexpr double kExact = 1e-12, kRounding = 1e-15;
  for (int i = 0; i < kSteps; ++i) {
    const Fit fit = fit_of(values, gates, tau, before + count, temperature);
    (fit.excess > 0 ? low : high) = tau;
    const double step = temperature * fit.excess / std::max(fit.fall, kSmall);
    if (std::abs(step) <= kExact * temperature + kRounding * std::abs(tau)) break;
    const double newton = tau + step;
    const bool good = newton > low && newton < high && 2.0 * std::abs(step) < std::abs(last);
    const double next = good ? newton : 0.5 * (low + high);
    last = next - tau;
    tau = next;
  }
  return tau;
}

void store(double threshold, float* to) {
  to[0] = static_cast<float>(threshold);
  to[1] = static_cast<float>(threshold - to[0]);
}

double stored(const float* from) { return static_cast<double>(from[0]) + from[1]; }

void fill_fixed(float* row, const SoftKeepShape& shape) {
  std::fill_n(row, shape.sinks, 0.0F);
  std::fill_n(row + shape.slots - shape.local, shape.local, 0.0F);
}

void choose_row(const float* score, const float* massed, float* log_keep, float* thresholds,
                const SoftKeepShape& shape, int64_t row) {
  const double T = shape.temperature;
  std::vector<Gate> gates(static_cast<size_t>(candidates_of(shape)));
  std::fill_n(thresholds, kSoftKeepThresholds, 0.0F);
  if (shape.alone > 0) {
    const Row values(score, shape, row);
    store(threshold_of(values, gates, 0, shape.alone, T), thresholds);
    for (size_t j = 0; j < gates.size(); ++j)
      gates[j] = gate_of((values[static_cast<int>(j)] - stored(thresholds)) / T);
  }
  const Row second(shape.massed > 0 ? massed : score, shape, row);
  if (shape.massed > 0)
    store(threshold_of(second, gates, shape.alone, shape.massed, T), thresholds + 2);
  float* result = log_keep + row * shape.slots;
  fill_fixed(result, shape);
  for (size_t j = 0; j < gates.size(); ++j) {
    const Gate two = shape.massed > 0
                         ? gate_of((second[static_cast<int>(j)] - stored(thresholds + 2)) / T)
                         : Gate();
    const Kept kept(gates[j], two);
    const double exact = kept.keep < 0.5 ? std::log(kept.keep) : std::log1p(-kept.rest);
    result[static_cast<size_t>(shape.sinks) + j] =
        static_cast<float>(std::max(exact, kLeastLogKeep));
  }
}

/// A candidate's gates, and what its d_log_keep gives to their arguments.
struct Candidate {
  Gate one, two;
  double d_x = 0.0, d_y = 0.0;
};

std::vector<Candidate> candidates(const float* score, const float* massed, const float* thresholds,
                                  const float* d_log_keep, const SoftKeepShape& shape,
                                  int64_t row) {
  std::vector<Candidate> all(static_cast<size_t>(candidates_of(shape)));
  const Row d(d_log_keep, shape, row), x(shape.alone > 0 ? score : d_log_keep, shape, row),
      y(shape.massed > 0 ? massed : d_log_keep, shape, row);
  for (size_t i = 0; i < all.size(); ++i) {
    const int j = static_cast<int>(i);
    Candidate& key = all[i];
    if (shape.alone > 0) key.one = gate_of((x[j] - stored(thresholds)) / shape.temperature);
    if (shape.massed > 0) key.two = gate_of((y[j] - stored(thresholds + 2)) / shape.temperature);
    const Kept kept(key.one, key.two);
    if (kept.keep < std::exp(kLeastLogKeep)) continue;
    const double slope = d[j] * (kept.rest / kept.keep);
    key.d_x = slope * key.one.on;
    key.d_y = slope * key.two.on;
  }
  return all;
}

/// soft_keep_gradient_kernel.cu has the formulas.
void gradient_of_row(const float* score, const float* massed, const float* thresholds,
                     const float* d_log_keep, float* d_score, float* d_massed,
                     const SoftKeepShape& shape, int64_t row) {
  const auto keys = candidates(score, massed, thresholds, d_log_keep, shape, row);
  double d_x = 0, d_y = 0, slopes = 0, second_slopes = 0, on = 0, off = 0;
  for (const Candidate& key : keys) {
    d_x += key.d_x;
    d_y += key.d_y;
    slopes += key.one.slope();
    second_slopes += key.one.off * key.two.slope();
    on += key.one.slope() * key.two.on;
    off += key.one.slope() * key.two.off;
  }
  constexpr double kLeastSlope = 1e-30;  // below it nothing moves with the threshold
  const auto by = [](double sum) { return sum > kLeastSlope ? 1.0 / sum : 0.0; };
  const double d_first = d_x * by(slopes), d_second = d_y * by(second_slopes);
  const double mean_on = on * by(slopes), mean_off = off * by(slopes);
  float* to_score = d_score + row * shape.slots;
  fill_fixed(to_score, shape);
  float* to_massed = shape.massed > 0 ? d_massed + row * shape.slots : nullptr;
  if (to_massed != nullptr) fill_fixed(to_massed, shape);
  for (size_t j = 0; j < keys.size(); ++j) {
    const Candidate& key = keys[j];
    const double above_mean = key.two.open ? mean_off - key.two.off : key.two.on - mean_on;
    const double moved = key.one.slope() * (d_second * above_mean - d_first);
    const size_t slot = static_cast<size_t>(shape.sinks) + j;
    to_score[slot] = static_cast<float>((key.d_x + moved) / shape.temperature);
    if (to_massed == nullptr) continue;
    const double second = key.d_y - d_second * key.one.off * key.two.slope();
    to_massed[slot] = static_cast<float>(second / shape.temperature);
  }
}

}  // namespace

void soft_keep_on_cpu(const float* score, const float* massed, float* log_keep, float* thresholds,
                      const SoftKeepShape& shape) {
  for (int64_t row = 0; row < shape.rows; ++row)
    choose_row(score, massed, log_keep, thresholds + row * kSoftKeepThresholds, shape, row);
}

void soft_keep_gradient_on_cpu(const float* score, const float* massed, const float* thresholds,
                               const float* d_log_keep, float* d_score, float* d_massed,
                               const SoftKeepShape& shape) {
  for (int64_t row = 0; row < shape.rows; ++row)
    gradient_of_row(score, massed, thresholds + row * kSoftKeepThresholds, d_log_keep, d_score,
                    d_massed, shape, row);
}

}  // namespace lococo
