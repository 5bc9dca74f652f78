#include <cuda_bf16.h>
#include <cuda_runtime.h>

#include "decode/gate_kernel.h"
#include "tensor/kit/dependent_launch.cuh"
#include "tensor/kit/packed8.cuh"
#include "tensor/kit/reduce.cuh"

namespace lococo {
namespace {

constexpr int kWarp = 32;
constexpr int kWarps = 4;  // of a thread block

__device__ float gelu(float x) {
  constexpr float kRootOfHalf = 0.70710678F;
  return 0.5F * x * (1.0F + erff(x * kRootOfHalf));
}

/// One warp for each head of a sequence. Heads make the hidden units again, each for itself: a few
/// numbers of a lane, less than what sharing them would wait for.
__global__ void __launch_bounds__(kWarp* kWarps) gate_kernel(GateTensors t, GateShape shape) {
  let_next_kernel_start();
  wait_for_earlier_kernels();
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int pair = static_cast<int>(blockIdx.x) * kWarps + static_cast<int>(threadIdx.x) / kWarp;
  if (pair >= shape.batch * shape.heads) return;
  const int64_t row = pair / shape.heads, head = pair % shape.heads;
  const auto* product =
      reinterpret_cast<const __nv_bfloat16*>(t.product) + row * shape.product_stride;
  const float* out_weight = t.out_weight + head * shape.units;
  float sum = 0.0F;
#pragma unroll 4
  for (int unit = lane; unit < shape.units; unit += kWarp)
    sum += gelu(widen(product[unit]) + t.hidden_bias[unit]) * out_weight[unit];
  sum = warp_sum(sum);
  if (lane > 0) return;
  const int64_t slot = t.cursor[2 * row];
  t.score.data[row * t.score.batch_stride + head * t.score.head_stride + slot] =
      sum + t.out_bias[head] + widen(product[shape.units + head]);
}

}  // namespace

void launch_gate(const GateTensors& tensors, const GateShape& shape, CUstream_st* stream) {
  const int pairs = shape.batch * shape.heads;
  launch_dependent(gate_kernel, dim3(static_cast<unsigned>((pairs + kWarps - 1) / kWarps)),
                   kWarp * kWarps, 0, stream, shape.overlap, tensors, shape);
}

}  // namespace lococo
