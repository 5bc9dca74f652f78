#include <cuda_runtime.h>

#include "soft/mass_floor.h"
#include "soft/soft_steps_kernel.h"
#include "tensor/kit/packed8.cuh"
#include "tensor/kit/reduce.cuh"

namespace lococo {
namespace {

constexpr int kThreads = 256;

unsigned blocks_for(int64_t threads) {
  return static_cast<unsigned>((threads + kThreads - 1) / kThreads);
}

__device__ int64_t thread_index() {
  return blockIdx.x * static_cast<int64_t>(kThreads) + threadIdx.x;
}

__device__ float log_of(float mass) { return logf(mass + static_cast<float>(kMassFloor)); }

__global__ void __launch_bounds__(kThreads) block_scores_kernel(BlockScoresArguments x) {
  const int64_t i = thread_index();
  if (i >= x.X * x.S) return;
  const int64_t row = i / x.S, key = i % x.S;
  const float score = x.score[row * x.T + key];
  x.score_out[i] = score;
  x.massed_out[i] = score + x.mass_weight[row % x.G] * log_of(x.mass[i]);
}

__global__ void __launch_bounds__(kThreads) key_terms_kernel(KeyTermsArguments x) {
  const int64_t i = thread_index();
  if (i >= x.B * x.S * x.H) return;
  const int64_t h = i % x.H, key = i / x.H % x.S, b = i / (x.H * x.S);
  unsigned parts = 0;
  if (key < x.M) {
    const int64_t g = h / (x.H / x.G);
    const float term = x.factor * x.log_keep[(b * x.G + g) * x.M + key];
    const float first = widen(__float2bfloat16_rn(term));
    parts = pack2(first, term - first);
  }
  auto* to = x.terms + b * x.batch_stride + key * x.key_stride + h * x.head_stride;
  *reinterpret_cast<unsigned*>(to) = parts;
}

__global__ void __launch_bounds__(kThreads) add_mass_kernel(AddMassArguments x) {
  const int64_t i = thread_index();
  if (i >= x.X * x.M) return;
  const int64_t row = i / x.M, key = i % x.M;
  float* received = x.received + row * x.S + key;
  const float kept = x.log_keep != nullptr ? expf(x.log_keep[i]) : 1.0F;
  const float earlier = x.earlier != nullptr ? x.fading * x.earlier[i] : 0.0F;
  *received = *received * kept + earlier;
}

/// The sum of eight channels over the heads of a group, float32.
__device__ void sum_heads(const uint16_t* first, int64_t heads, int64_t head_stride,
                          float (&sum)[8]) {
  for (int64_t h = 0; h < heads; ++h) {
    float values[8];
    unpack8(load8(first + h * head_stride), values);
#pragma unroll
    for (int i = 0; i < 8; ++i) sum[i] += values[i];
  }
}

__device__ void add8(float* to, const float (&values)[8]) {
  float sum[8];
  unpack8(load8(to), sum);
#pragma unroll
  for (int i = 0; i < 8; ++i) sum[i] += values[i];
  store8(to, sum);
}

/// The gradients of four terms from the eight channels of their pairs.
__device__ void store_terms(const KeyGradientsArguments& x, int64_t first, int64_t row, int64_t key,
                            const float (&of_key)[8]) {
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const KeyTermGradient& term = x.terms[first + i];
    if (key < term.M) term.d_log_keep[row * term.M + key] = x.factor * of_key[2 * i];
  }
}

/// One thread for eight channels of a key, its terms' among them.
__global__ void __launch_bounds__(kThreads) key_gradients_kernel(KeyGradientsArguments x) {
  const int64_t own = x.D / 8, pieces = own + x.kTerms / 4;
  const int64_t channels = x.D + 2 * x.kTerms, heads = x.H / x.G;
  const int64_t i = thread_index();
  if (i >= x.B * x.S * x.G * pieces) return;
  const int64_t piece = i % pieces, g = i / pieces % x.G;
  const int64_t key = i / (pieces * x.G) % x.S, b = i / (pieces * x.G * x.S);
  const int64_t from = ((b * x.S + key) * x.H + g * heads) * channels + piece * 8;
  float of_key[8] = {};
  sum_heads(x.dk + from, heads, channels, of_key);
  if (piece >= own) return store_terms(x, (piece - own) * 4, b * x.G + g, key, of_key);
  float of_value[8] = {};
  sum_heads(x.dv + from, heads, channels, of_value);
  const int64_t to = ((b * x.T + key) * x.G + g) * x.D + piece * 8;
  add8(x.k_sum + to, of_key);
  add8(x.v_sum + to, of_value);
}

/// One thread block for each row.
__global__ void __launch_bounds__(kThreads) choice_gradients_kernel(ChoiceGradientsArguments x) {
  const int64_t row = blockIdx.x;
  float of_weight = 0.0F;
  for (int64_t key = threadIdx.x; key < x.S; key += kThreads) {
    const int64_t i = row * x.S + key;
    float of_score = x.d_score[i];
    if (x.d_massed != nullptr) {
      of_score += x.d_massed[i];
      of_weight += x.d_massed[i] * log_of(x.mass[i]);
    }
    x.score_sum[row * x.T + key] += of_score;
  }
  if (x.d_massed == nullptr) return;
  of_weight = block_sum<kThreads>(of_weight);
  if (threadIdx.x == 0) x.weight_sum[row] += of_weight;
}

}  // namespace

void launch_block_scores(const BlockScoresArguments& x, CUstream_st* stream) {
  block_scores_kernel<<<blocks_for(x.X * x.S), kThreads, 0, stream>>>(x);
}

void launch_key_terms(const KeyTermsArguments& x, CUstream_st* stream) {
  key_terms_kernel<<<blocks_for(x.B * x.S * x.H), kThreads, 0, stream>>>(x);
}

void launch_add_mass(const AddMassArguments& x, CUstream_st* stream) {
  add_mass_kernel<<<blocks_for(x.X * x.M), kThreads, 0, stream>>>(x);
}

void launch_key_gradients(const KeyGradientsArguments& x, CUstream_st* stream) {
  const int64_t threads = x.B * x.S * x.G * (x.D / 8 + x.kTerms / 4);
  key_gradients_kernel<<<blocks_for(threads), kThreads, 0, stream>>>(x);
}

void launch_choice_gradients(const ChoiceGradientsArguments& x, CUstream_st* stream) {
  choice_gradients_kernel<<<static_cast<unsigned>(x.X), kThreads, 0, stream>>>(x);
}

}  // namespace lococo
