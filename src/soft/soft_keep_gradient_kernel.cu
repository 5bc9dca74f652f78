#include "soft/soft_keep_gradient_kernel.h"

#include "soft/soft_keep_gate.cuh"

namespace lococo {
namespace {

using namespace soft_keep;

constexpr float kLeastKeep = 9.357623e-14F;  // exp(kLeastLogKeep)
/// Below it a sum of slopes says nothing: all keys are far from the threshold and have no gradient.
constexpr float kLeastSlope = 1e-30F;

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

void launch_soft_keep_gradient(const float* score, const float* massed, const float* thresholds,
                               const float* d_log_keep, float* d_score, float* d_massed,
                               const SoftKeepShape& shape, CUstream_st* stream) {
  const auto rows = static_cast<unsigned>(shape.rows);
  soft_keep_gradient_kernel<<<rows, kThreads, 0, stream>>>(score, massed, thresholds, d_log_keep,
                                                           d_score, d_massed, shape);
}

}  // namespace lococo
