#include <cuda_runtime.h>

#include <cmath>

#include "tensor/kit/reduce.cuh"
#include "tensor/kit/row_access.cuh"
#include "tensor/layers/running_sum.cuh"
#include "tensor/layers/softmax_divergence_kernel.h"

namespace lococo {
namespace {

constexpr int kThreads = 512;
constexpr int kBlocksPerSm = 2;

__device__ float log_sum(const RunningSum& sum) { return sum.max + logf(sum.sum); }

/// kWidth: neighbouring logits that a thread takes at a time.
template <int kWidth>
__global__ void __launch_bounds__(kThreads, kBlocksPerSm)
    softmax_divergence_kernel(SoftmaxDivergenceArguments x) {
  constexpr int kStep = kThreads * kWidth;
  const int64_t row = blockIdx.x;
  const int V = static_cast<int>(x.V), first = static_cast<int>(threadIdx.x) * kWidth;
  const float* student = x.student + row * V;
  const float* teacher = x.teacher + row * V;
  auto* gradient = static_cast<__nv_bfloat16*>(x.gradient) + row * V;
  const float weight = x.weights[row];
  float mine[kWidth], wanted[kWidth];
  if (weight == 0.0F) {
    if (threadIdx.x == 0) x.loss[row] = 0.0F;
    for (float& value : mine) value = 0.0F;
    for (int v = first; v < V; v += kStep) write_row(gradient + v, mine);
    return;
  }

  RunningSum student_part, teacher_part;
  for (int v = first; v < V; v += kStep) {
    read_row(mine, student + v);
    read_row(wanted, teacher + v);
    student_part.add(mine);
    teacher_part.add(wanted);
  }
  const float student_lse = log_sum(sum_of_block<kThreads>(student_part));
  const float teacher_lse = log_sum(sum_of_block<kThreads>(teacher_part));

  const float truth = x.truth != nullptr ? x.truth[row] : 0.0F;
  const int64_t target = truth > 0.0F ? x.targets[row] : -1;
  float divergence = 0.0F;
  for (int v = first; v < V; v += kStep) {
    read_row(mine, student + v);
    read_row(wanted, teacher + v);
    for (int i = 0; i < kWidth; ++i) {
      const float log_q = mine[i] - student_lse, log_p = wanted[i] - teacher_lse;
      const float p = __expf(log_p);
      divergence += p * (log_p - log_q);
      const float known = v + i == target ? truth : 0.0F;
      mine[i] = weight * (__expf(log_q) - (1.0F - truth) * p - known);
    }
    write_row(gradient + v, mine);
  }
  divergence = block_sum<kThreads>(divergence);
  if (threadIdx.x > 0) return;
  float loss = (1.0F - truth) * divergence;
  if (truth > 0.0F) {
    const bool is_logit = target >= 0 && target < V;
    loss -= truth * (is_logit ? student[target] - student_lse : NAN);
  }
  x.loss[row] = weight * loss;
}

}  // namespace

void launch_softmax_divergence(const SoftmaxDivergenceArguments& x, CUstream_st* stream) {
  const auto rows = static_cast<unsigned>(x.X);
  if (x.V % 8 == 0)
    softmax_divergence_kernel<8><<<rows, kThreads, 0, stream>>>(x);
  else
    softmax_divergence_kernel<1><<<rows, kThreads, 0, stream>>>(x);
}

}  // namespace lococo
