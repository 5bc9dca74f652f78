#include "soft/soft_keep_kernel.h"

#include <cfloat>

#include "soft/soft_keep_gate.cuh"

namespace lococo {
namespace {

using namespace soft_keep;

/// A threshold that moves by less, in temperatures, is settled: what is left of it after one more
/// Newton step is this squared.
constexpr float kSettled = 3e-4F;
constexpr int kMostPasses = 64;

struct Larger {
  __device__ float operator()(float a, float b) const { return fmaxf(a, b); }
};

/// A threshold's aim: the sum of (1 - a) b over the candidates is to be `wanted`, where a, the
/// gates that stay as they are, sums to `before`.
struct Goal {
  float before;
  float wanted;
  float candidates;
  __device__ float available() const { return candidates - before; }
};

/// How far a sum is from the hard choice at the same threshold: `chosen` keys, less what these lack
/// of 1, plus what the others have. These small sums keep their digits where the sum itself is a
/// whole number to within rounding, as it is between two distant scores.
///
/// The sum is that of (1 - a) b or, less `before`, of keep = a + (1 - a) b: one number while a sums
/// to `before`, which it does to within rounding. Between distant scores that rounding may exceed
/// all else, and that sum is right to which the keys with a half-open gate a add little: keep
/// when b is open for these, else (1 - a) b.
struct Balance {
  float surplus;  ///< what the keys have that are not chosen
  float lack;     ///< what the chosen lack
  float slope;    ///< -d(sum) / d(threshold), times T
  float chosen;   ///< a whole number
  float lean;     ///< sum of a (1 - a) (2 b - 1): towards the sum of keep when above 0

  __device__ float excess(const Goal& goal) const {
    return (chosen - goal.wanted) + (surplus - lack);
  }

  __device__ bool is_clear(const Goal& goal) const {
    return fabsf(excess(goal)) > 1e-4F * (surplus + lack);
  }

  /// Newton's step. At the right number of chosen keys it is for log(surplus / lack), which is
  /// linear in the threshold between distant scores; else for the logit of the mean gate,
  /// which is nearly so across a bell-shaped crowd. May be no number or lead astray.
  __device__ float step(const Goal& goal, float temperature) const {
    if (chosen == goal.wanted) {
      const float both = surplus + lack;
      return both == 0.0F ? 0.0F : temperature * both / (2 * slope) * logf(surplus / lack);
    }
    const float open = chosen + (surplus - lack), shut = goal.available() - open;
    const float odds = logf(open / shut) - logf(goal.wanted / (goal.available() - goal.wanted));
    return temperature * odds * open * shut / (goal.available() * slope);
  }
};

/// Thread t holds the candidates t, t + kThreads, ...; beyond the last one are values of -infinity
/// with closed gates, which change no sum. of_keep: which sum.
template <int kItems>
__device__ Balance balance(const float (&values)[kItems], const float (&gates)[kItems],
                           const Goal& goal, bool of_keep, float threshold,
                           float inverse_temperature, BlockReducer& block) {
  float sums[5] = {};
#pragma unroll
  for (int i = 0; i < kItems; ++i) {
    const Gate one = unpacked(gates[i]);
    const Gate two = gate((values[i] - threshold) * inverse_temperature);
    const bool chosen = of_keep ? one.open || two.open : !one.open && two.open;
    const float has = one.off() * two.on() + (of_keep ? one.on() : 0.0F);
    const float lacks = one.off() * two.off() + (of_keep ? 0.0F : one.on());
    sums[0] += chosen ? 0.0F : has;
    sums[1] += chosen ? lacks : 0.0F;
    sums[2] += one.off() * two.slope();
    sums[3] += chosen ? 1.0F : 0.0F;
    sums[4] += one.slope() * (two.on() - two.off());
  }
  block.reduce(sums, Add());
  return {sums[0], sums[1], sums[2], sums[3] - (of_keep ? goal.before : 0.0F), sums[4]};
}

struct Search {
  float low;  ///< the threshold lies between these
  float high;
  float start;
};

/// Were all values equal, the threshold would be `shift` above them. So it lies between the
/// smallest and the largest value plus that; the start is that of a logistic crowd with their mean
/// and variance. origin: any of the values, so that the variance keeps its digits.
template <int kItems>
__device__ Search search_of(const float (&values)[kItems], float origin, const Goal& goal,
                            float temperature, BlockReducer& block) {
  const int candidates = static_cast<int>(goal.candidates);
  float ends[2] = {-INFINITY, -INFINITY}, sums[2] = {};
#pragma unroll
  for (int i = 0; i < kItems; ++i) {
    if (static_cast<int>(threadIdx.x) + i * kThreads >= candidates) continue;
    const float from_origin = values[i] - origin;
    ends[0] = fmaxf(ends[0], -values[i]);
    ends[1] = fmaxf(ends[1], values[i]);
    sums[0] += from_origin;
    sums[1] += from_origin * from_origin;
  }
  block.reduce(ends, Larger());
  block.reduce(sums, Add());
  constexpr float kLogisticScale = 0.304F;  // 3 / pi^2: a logistic's squared scale by its variance
  const float mean = sums[0] / goal.candidates;
  const float variance = fmaxf(sums[1] / goal.candidates - mean * mean, 0.0F);
  const float odds = logf((goal.available() - goal.wanted) / goal.wanted);
  const float shift = temperature * odds, margin = 0.01F * temperature;
  const float low = -ends[0] + shift - margin, high = ends[1] + shift + margin;
  const float start =
      origin + mean + odds * sqrtf(temperature * temperature + kLogisticScale * variance);
  return {low, high, fminf(fmaxf(start, low), high)};
}

template <int kItems>
__device__ float sum_of_slopes(const float (&gates)[kItems], BlockReducer& block) {
  float sums[1] = {};
#pragma unroll
  for (int i = 0; i < kItems; ++i) sums[0] += unpacked(gates[i]).slope();
  block.reduce(sums, Add());
  return sums[0];
}

/// The threshold at which sigmoid((values - threshold) / T), behind the gates, reaches the goal.
/// Newton's steps within a bracket; halves it where they leave it or shrink too slowly.
template <int kItems>
__device__ Threshold solve(const float (&values)[kItems], float origin,
                           const float (&gates)[kItems], const Goal& goal, float temperature,
                           BlockReducer& block) {
  Search search = search_of(values, origin, goal, temperature, block);
  const float half_open = sum_of_slopes(gates, block);
  const float inverse_temperature = 1.0F / temperature;
  float threshold = search.start;
  float last_step = search.high - search.low, step_before = last_step;
  bool of_keep = false;
#pragma unroll 1
  for (int pass = 0; pass < kMostPasses; ++pass) {
    const Balance now =
        balance(values, gates, goal, of_keep, threshold, inverse_temperature, block);
    const float step = now.step(goal, temperature);
    const float settled = fmaxf(kSettled * temperature, FLT_EPSILON * fabsf(threshold));
    const bool better_of_keep = fabsf(now.lean) > 0.5F * half_open ? now.lean > 0.0F : of_keep;
    if (better_of_keep == of_keep && fabsf(step) <= settled) return {threshold, step};
    // The excess of the other sum may be nothing but rounding.
    if (better_of_keep == of_keep || now.is_clear(goal))
      (now.excess(goal) > 0.0F ? search.low : search.high) = threshold;
    of_keep = better_of_keep;
    float next = threshold + step;
    const bool trusted =
        next > search.low && next < search.high && fabsf(step) <= 0.5F * step_before;
    if (!trusted) next = 0.5F * search.low + 0.5F * search.high;
    step_before = last_step;
    last_step = fabsf(next - threshold);
    threshold = next;
  }
  return {threshold, 0.0F};
}

template <int kItems>
__device__ void load(const float* row, int candidates, float (&values)[kItems]) {
#pragma unroll
  for (int i = 0; i < kItems; ++i) {
    const int j = static_cast<int>(threadIdx.x) + i * kThreads;
    values[i] = j < candidates ? row[j] : -INFINITY;
  }
}

/// One thread block for each row.
template <int kItems>
__global__ void __launch_bounds__(kThreads)
    soft_keep_kernel(const float* __restrict__ score, const float* __restrict__ massed,
                     float* __restrict__ log_keep, float* __restrict__ thresholds,
                     SoftKeepShape shape) {
  __shared__ float totals[2][kMostSums][kWarps];
  BlockReducer block(totals);
  const int64_t begin = blockIdx.x * static_cast<int64_t>(shape.slots);
  const int candidates = shape.slots - shape.sinks - shape.local;
  const auto alone = static_cast<float>(shape.alone);
  const float inverse_temperature = 1.0F / shape.temperature;
  Threshold first{}, second{};
  float values[kItems], gates[kItems];
#pragma unroll
  for (float& gate : gates) gate = kClosed;

  if (shape.alone > 0) {
    const float* row = score + begin + shape.sinks;
    load(row, candidates, values);
    const Goal goal = {0.0F, alone, static_cast<float>(candidates)};
    first = solve(values, row[0], gates, goal, shape.temperature, block);
#pragma unroll
    for (int i = 0; i < kItems; ++i)
      gates[i] = gate(values[i], first, inverse_temperature).packed();
  }
  if (shape.massed > 0) {
    const float* row = massed + begin + shape.sinks;
    load(row, candidates, values);
    const Goal goal = {alone, static_cast<float>(shape.massed), static_cast<float>(candidates)};
    second = solve(values, row[0], gates, goal, shape.temperature, block);
  }

  float* result = log_keep + begin;
  fill_fixed(result, shape);
#pragma unroll
  for (int i = 0; i < kItems; ++i) {
    const int j = static_cast<int>(threadIdx.x) + i * kThreads;
    if (j >= candidates) break;
    const Gate two =
        shape.massed > 0 ? gate(values[i], second, inverse_temperature) : unpacked(kClosed);
    const Kept kept(unpacked(gates[i]), two);
    const float exact = kept.keep < 0.5F ? logf(kept.keep) : log1pf(-kept.rest);
    result[shape.sinks + j] = fmaxf(exact, static_cast<float>(kLeastLogKeep));
  }
  if (threadIdx.x == 0) {
    float* saved = thresholds + blockIdx.x * static_cast<int64_t>(kSoftKeepThresholds);
    saved[0] = first.value;
    saved[1] = first.remainder;
    saved[2] = second.value;
    saved[3] = second.remainder;
  }
}

}  // namespace

void launch_soft_keep(const float* score, const float* massed, float* log_keep, float* thresholds,
                      const SoftKeepShape& shape, CUstream_st* stream) {
  static_assert(kMaxSoftKeepSlots == 32 * kThreads, "a thread holds at most 32 candidates");
  const auto rows = static_cast<unsigned>(shape.rows);
  const int candidates = shape.slots - shape.sinks - shape.local;
  auto* kernel = candidates <= 4 * kThreads    ? &soft_keep_kernel<4>
                 : candidates <= 8 * kThreads  ? &soft_keep_kernel<8>
                 : candidates <= 16 * kThreads ? &soft_keep_kernel<16>
                                               : &soft_keep_kernel<32>;
  kernel<<<rows, kThreads, 0, stream>>>(score, massed, log_keep, thresholds, shape);
}

}  // namespace lococo
