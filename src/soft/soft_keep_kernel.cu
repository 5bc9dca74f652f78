#include <cuda_runtime.h>

#include <cfloat>

#include "soft/soft_keep_kernel.h"

namespace lococo {
namespace {

constexpr int kThreads = 512;
constexpr int kWarps = kThreads / 32;
constexpr unsigned kAllLanes = 0xffffffffU;
constexpr int kMostSums = 6;
constexpr float kLeastKeep = 9.357623e-14F;  // exp(kLeastLogKeep)
/// A threshold that moves by less, in temperatures, is settled: what is left of it after one more
/// Newton step is this squared.
constexpr float kSettled = 3e-4F;
constexpr int kMostPasses = 64;
/// Below it a sum of slopes says nothing: all keys are far from the threshold and have no gradient.
constexpr float kLeastSlope = 1e-30F;

struct Add {
  __device__ float operator()(float a, float b) const { return a + b; }
};
struct Larger {
  __device__ float operator()(float a, float b) const { return fmaxf(a, b); }
};

/// Merges numbers over a thread block in a fixed order, one barrier each; every thread gets the
/// same bits. Two sets of totals in turn, so that a fast warp does not overwrite what a slow one
/// still reads.
class BlockReducer {
 public:
  __device__ explicit BlockReducer(float (*totals)[kMostSums][kWarps]) : totals_(totals) {}

  template <class Merge, int kValues>
  __device__ void reduce(float (&values)[kValues], Merge merge) {
    static_assert(kValues <= kMostSums);
    float(*totals)[kWarps] = totals_[turn_];
    turn_ ^= 1;
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    within_warp<32>(values, merge);
#pragma unroll
    for (int v = 0; v < kValues; ++v) {
      if (lane == 0) totals[v][warp] = values[v];
    }
    __syncthreads();
#pragma unroll
    for (int v = 0; v < kValues; ++v) values[v] = totals[v][lane % kWarps];
    within_warp<kWarps>(values, merge);
  }

 private:
  template <int kLanes, class Merge, int kValues>
  __device__ static void within_warp(float (&values)[kValues], Merge merge) {
#pragma unroll
    for (int distance = kLanes / 2; distance > 0; distance /= 2) {
#pragma unroll
      for (int v = 0; v < kValues; ++v)
        values[v] = merge(values[v], __shfl_xor_sync(kAllLanes, values[v], distance));
    }
  }

  float (*totals_)[kMostSums][kWarps];
  int turn_ = 0;
};

/// A sigmoid as its distance from 0 or 1, whichever is nearer: neither it nor one minus it loses
/// digits, however far from its threshold a key lies.
struct Gate {
  float tail;  ///< sigmoid(-|x|)
  bool open;   ///< x > 0
  __device__ float on() const { return open ? 1.0F - tail : tail; }
  __device__ float off() const { return open ? tail : 1.0F - tail; }
  __device__ float slope() const { return tail - tail * tail; }
  /// One register instead of two: the sign tells `open`, also that of a zero.
  __device__ float packed() const { return open ? tail : -tail; }
};

constexpr float kClosed = -0.0F;  // packed() of x = -infinity

__device__ Gate unpacked(float packed) { return {fabsf(packed), !signbit(packed)}; }

__device__ Gate gate(float x) {
  const float e = __expf(-fabsf(x));
  return {__fdividef(e, 1.0F + e), x > 0.0F};
}

struct Threshold {
  float value;
  float remainder;
};

/// value - threshold is exact near the threshold, where it matters.
__device__ Gate gate(float value, const Threshold& threshold, float inverse_temperature) {
  return gate(((value - threshold.value) - threshold.remainder) * inverse_temperature);
}

/// What both gates give for a key: keep = a + (1 - a) b, and how far it is from 1.
struct Kept {
  __device__ Kept(const Gate& one, const Gate& two)
      : keep(one.on() + one.off() * two.on()), rest(one.off() * two.off()) {}
  float keep;
  float rest;
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

__device__ void fill_fixed(float* row, const SoftKeepShape& shape) {
  for (int j = threadIdx.x; j < shape.sinks + shape.local; j += kThreads)
    row[j < shape.sinks ? j : shape.slots - shape.local + j - shape.sinks] = 0.0F;
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

/// A candidate's gates, and what its d_log_keep gives to x = (score - first) / T and
/// y = (massed - second) / T.
struct Candidate {
  Gate one;
  Gate two;
  float d_x;
  float d_y;
};

struct Row {
  const float* score;
  const float* massed;
  const float* d_log_keep;
  Threshold first;
  Threshold second;

  __device__ Candidate at(int j, const SoftKeepShape& shape, float inverse_temperature) const {
    Candidate candidate{unpacked(kClosed), unpacked(kClosed), 0.0F, 0.0F};
    if (shape.alone > 0) candidate.one = gate(score[j], first, inverse_temperature);
    if (shape.massed > 0) candidate.two = gate(massed[j], second, inverse_temperature);
    const Kept kept(candidate.one, candidate.two);
    if (kept.keep < kLeastKeep) return candidate;
    const float slope = d_log_keep[j] * (kept.rest / kept.keep);
    candidate.d_x = slope * candidate.one.on();
    candidate.d_y = slope * candidate.two.on();
    return candidate;
  }
};

/// One thread block for each row. With a, b the gates and w = a (1 - a) / sum of a (1 - a), the
/// first threshold moves by sum of w ds, the second by
///   [sum of (1 - a) b (1 - b) dz - sum of b a (1 - a) (ds - d first)] / sum of (1 - a) b (1 - b),
/// whose second sum is that of a (1 - a) (b - sum of w b) ds.
__global__ void __launch_bounds__(kThreads)
    soft_keep_gradient_kernel(const float* __restrict__ score, const float* __restrict__ massed,
                              const float* __restrict__ thresholds,
                              const float* __restrict__ d_log_keep, float* __restrict__ d_score,
                              float* __restrict__ d_massed, SoftKeepShape shape) {
  __shared__ float totals[2][kMostSums][kWarps];
  BlockReducer block(totals);
  const int64_t begin = blockIdx.x * static_cast<int64_t>(shape.slots);
  const int64_t inner = begin + shape.sinks;
  const int candidates = shape.slots - shape.sinks - shape.local;
  const float inverse_temperature = 1.0F / shape.temperature;
  const float* saved = thresholds + blockIdx.x * static_cast<int64_t>(kSoftKeepThresholds);
  const Row row = {score + inner,
                   massed + inner,
                   d_log_keep + inner,
                   {saved[0], saved[1]},
                   {saved[2], saved[3]}};

  float sums[6] = {};
  for (int j = threadIdx.x; j < candidates; j += kThreads) {
    const Candidate c = row.at(j, shape, inverse_temperature);
    const float slope = c.one.slope();
    sums[0] += c.d_x;
    sums[1] += c.d_y;
    sums[2] += slope;
    sums[3] += c.one.off() * c.two.slope();
    sums[4] += slope * c.two.on();
    sums[5] += slope * c.two.off();
  }
  block.reduce(sums, Add());
  const float per_first = sums[2] > kLeastSlope ? 1.0F / sums[2] : 0.0F;
  const float per_second = sums[3] > kLeastSlope ? 1.0F / sums[3] : 0.0F;
  const float d_first = sums[0] * per_first, d_second = sums[1] * per_second;
  const float mean_on = sums[4] * per_first, mean_off = sums[5] * per_first;

  for (int j = threadIdx.x; j < candidates; j += kThreads) {
    const Candidate c = row.at(j, shape, inverse_temperature);
    // The same difference twice; the form whose terms are small keeps its digits.
    const float above_mean = c.two.open ? mean_off - c.two.off() : c.two.on() - mean_on;
    const float threshold_part = c.one.slope() * (d_second * above_mean - d_first);
    d_score[inner + j] = inverse_temperature * (c.d_x + threshold_part);
    if (shape.massed > 0) {
      d_massed[inner + j] = inverse_temperature * (c.d_y - d_second * c.one.off() * c.two.slope());
    }
  }
  fill_fixed(d_score + begin, shape);
  if (shape.massed > 0) fill_fixed(d_massed + begin, shape);
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

void launch_soft_keep_gradient(const float* score, const float* massed, const float* thresholds,
                               const float* d_log_keep, float* d_score, float* d_massed,
                               const SoftKeepShape& shape, CUstream_st* stream) {
  const auto rows = static_cast<unsigned>(shape.rows);
  soft_keep_gradient_kernel<<<rows, kThreads, 0, stream>>>(score, massed, thresholds, d_log_keep,
                                                           d_score, d_massed, shape);
}

}  // namespace lococo
