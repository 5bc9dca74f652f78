#include <cuda_runtime.h>

#include <cfloat>
#include <cmath>

#include "tensor/kit/row_access.cuh"
#include "tensor/layers/softmax_cross_entropy_kernel.h"

namespace lococo {
namespace {

// Few rows at a time (128 KB each at 32,000 float32 logits), so that they stay in the cache between
// the two passes, and enough threads to keep memory busy.
constexpr int kThreads = 512;
constexpr int kBlocksPerSm = 2;
constexpr int kWarps = kThreads / 32;

/// sum of exp(x - max) over the logits seen so far. -FLT_MAX instead of -infinity keeps the
/// differences finite.
struct RunningSum {
  float max = -FLT_MAX;
  float sum = 0.0f;

  __device__ void add(const RunningSum& other) {
    const float new_max = fmaxf(max, other.max);
    sum = sum * __expf(max - new_max) + other.sum * __expf(other.max - new_max);
    max = new_max;
  }

  template <int kCount>
  __device__ void add(const float (&x)[kCount]) {
    float new_max = max;
    for (int i = 0; i < kCount; ++i) new_max = fmaxf(new_max, x[i]);
    sum *= __expf(max - new_max);
    for (int i = 0; i < kCount; ++i) sum += __expf(x[i] - new_max);
    max = new_max;
  }
};

__device__ RunningSum sum_of_warp(RunningSum value) {
  for (int offset = 16; offset > 0; offset /= 2) {
    RunningSum other;
    other.max = __shfl_xor_sync(0xffffffffU, value.max, offset);
    other.sum = __shfl_xor_sync(0xffffffffU, value.sum, offset);
    value.add(other);
  }
  return value;
}

/// The block's sum, in every thread.
__device__ RunningSum sum_of_block(RunningSum value) {
  __shared__ float max[kWarps];
  __shared__ float sum[kWarps];
  value = sum_of_warp(value);
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  if (lane == 0) {
    max[warp] = value.max;
    sum[warp] = value.sum;
  }
  __syncthreads();
  value = RunningSum();
  if (lane < kWarps) {
    value.max = max[lane];
    value.sum = sum[lane];
  }
  return sum_of_warp(value);
}

/// kWidth: neighbouring logits that a thread takes at a time.
template <typename Logit, typename Gradient, int kWidth>
__global__ void __launch_bounds__(kThreads, kBlocksPerSm)
    softmax_cross_entropy_kernel(SoftmaxCrossEntropyArguments x) {
  const int64_t row = blockIdx.x;
  const int V = static_cast<int>(x.V);
  const Logit* logits = static_cast<const Logit*>(x.logits) + row * V;
  Gradient* gradient =
      x.gradient == nullptr ? nullptr : static_cast<Gradient*>(x.gradient) + row * V;
  const int64_t target = x.targets[row];
  float values[kWidth];
  if (target == x.ignored_target) {
    if (threadIdx.x == 0) x.nll[row] = 0.0f;
    if (gradient == nullptr) return;
    for (int i = 0; i < kWidth; ++i) values[i] = 0.0f;
    for (int v = threadIdx.x * kWidth; v < V; v += kThreads * kWidth)
      write_row(gradient + v, values);
    return;
  }

  RunningSum part;
  for (int v = threadIdx.x * kWidth; v < V; v += kThreads * kWidth) {
    read_row(values, logits + v);
    part.add(values);
  }
  const RunningSum total = sum_of_block(part);
  float lse = total.max + logf(total.sum);
  if (target < 0 || target >= V) lse = NAN;
  if (threadIdx.x == 0) x.nll[row] = isnan(lse) ? lse : lse - widen(logits[target]);
  if (gradient == nullptr) return;

  for (int v = threadIdx.x * kWidth; v < V; v += kThreads * kWidth) {
    read_row(values, logits + v);
    for (int i = 0; i < kWidth; ++i)
      values[i] = __expf(values[i] - lse) - (v + i == target ? 1.0f : 0.0f);
    write_row(gradient + v, values);
  }
}

template <typename Logit, typename Gradient>
void launch(const SoftmaxCrossEntropyArguments& x, CUstream_st* stream) {
  const auto rows = static_cast<unsigned>(x.X);
  if (x.V % 8 == 0)
    softmax_cross_entropy_kernel<Logit, Gradient, 8><<<rows, kThreads, 0, stream>>>(x);
  else
    softmax_cross_entropy_kernel<Logit, Gradient, 1><<<rows, kThreads, 0, stream>>>(x);
}

template <typename Logit>
void launch_for_logit(const SoftmaxCrossEntropyArguments& x, CUstream_st* stream) {
  if (x.gradient_type == ElementType::kFloat32)
    launch<Logit, float>(x, stream);
  else
    launch<Logit, __nv_bfloat16>(x, stream);
}

}  // namespace

void launch_softmax_cross_entropy(const SoftmaxCrossEntropyArguments& x, CUstream_st* stream) {
  if (x.logit_type == ElementType::kFloat32)
    launch_for_logit<float>(x, stream);
  else
    launch_for_logit<__nv_bfloat16>(x, stream);
}

}  // namespace lococo
