#include <cuda_runtime.h>

#include <cmath>

#include "tensor/kit/row_access.cuh"
#include "tensor/layers/running_sum.cuh"
#include "tensor/layers/softmax_cross_entropy_kernel.h"

namespace lococo {
namespace {

// Few rows at a time (128 KB each at 32,000 float32 logits), so that they stay in the cache between
// the two passes, and enough threads to keep memory busy.
constexpr int kThreads = 512;
constexpr int kBlocksPerSm = 2;

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
  const RunningSum total = sum_of_block<kThreads>(part);
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
