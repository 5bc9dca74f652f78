#include <cuda_runtime.h>

#include "lococo/time_softmax_kernel.h"
#include "tensor/kit/packed8.cuh"

namespace lococo {
namespace {

// A thread block takes 64 columns of one row: 8 threads side by side read 128 neighbouring bytes,
// and 64 such groups share the time axis.
constexpr int kThreads = 512;
constexpr int kWidth = 8;
constexpr int kColumns = 64;
constexpr int kGroup = kColumns / kWidth;
constexpr int kTimeLanes = kThreads / kGroup;
constexpr int kWarps = kThreads / 32;
constexpr unsigned kAllLanes = 0xffffffffU;

struct Columns {
  float at[kWidth];
};

__device__ Columns load(const uint16_t* from) {
  Columns columns;
  unpack8(load8(from), columns.at);
  return columns;
}

/// Rounds the columns to what is stored.
__device__ void store(uint16_t* to, Columns& columns) {
  const Packed8<uint16_t> packed = {pack8(columns.at)};
  unpack8(packed, columns.at);
  store8(to, packed);
}

__device__ Columns filled(float value) {
  Columns columns;
#pragma unroll
  for (float& column : columns.at) column = value;
  return columns;
}

/// Which columns and times a thread has. A thread beyond the last column has no times, and still
/// takes part in every reduction.
struct Place {
  __device__ explicit Place(const TimeSoftmaxShape& shape)
      : row(blockIdx.x),
        column(static_cast<int>(blockIdx.y) * kColumns +
               static_cast<int>(threadIdx.x) % kGroup * kWidth),
        first(static_cast<int>(threadIdx.x) / kGroup),
        end(column < shape.mixed ? shape.time : 0),
        mixed(shape.mixed),
        begin(row * shape.time * shape.mixed + column) {}
  /// The thread's columns at time s.
  __device__ int64_t element(int s) const { return begin + static_cast<int64_t>(s) * mixed; }
  /// The place in [X, R] of the one column that thread `index` < kColumns finishes, -1: none.
  __device__ int64_t finished_column(int index) const {
    const int own = static_cast<int>(blockIdx.y) * kColumns + index;
    return index < kColumns && own < mixed ? row * mixed + own : -1;
  }
  int64_t row;
  int column;
  int first;
  int end;
  int mixed;
  int64_t begin;
};

/// One number for each warp and column of the thread block.
using Partial = float[kWarps][kColumns];

__device__ void share(Partial& partial, const Columns& columns) {
  const int lane = threadIdx.x % 32;
  if (lane >= kGroup) return;
#pragma unroll
  for (int i = 0; i < kWidth; ++i) partial[threadIdx.x / 32][lane * kWidth + i] = columns.at[i];
}

/// Sums of each column over the times of the thread block, in a fixed order: thread t < kColumns
/// gets that of column t, others 0. `partial` is free again after the next barrier.
__device__ float column_sum(Partial& partial, Columns columns) {
#pragma unroll
  for (float& column : columns.at) {
#pragma unroll
    for (int distance = kGroup; distance < 32; distance *= 2)
      column += __shfl_xor_sync(kAllLanes, column, distance);
  }
  share(partial, columns);
  __syncthreads();
  float sum = 0.0f;
  if (threadIdx.x < kColumns) {
#pragma unroll
    for (int warp = 0; warp < kWarps; ++warp) sum += partial[warp][threadIdx.x];
  }
  return sum;
}

/// A sum of exponentials as exp(largest) * sum; largest is -infinity of nothing.
struct ExpSum {
  float largest = -INFINITY;
  float sum = 0.0f;

  __device__ void add(float value) {
    const float smaller = __expf(-fabsf(value - largest));
    sum = value > largest ? sum * smaller + 1.0f : sum + smaller;
    largest = fmaxf(largest, value);
  }
  __device__ void add(float other_largest, float other_sum) {
    const float both = fmaxf(largest, other_largest);
    const float own_scale = largest == both ? 1.0f : __expf(largest - both);
    const float other_scale = other_largest == both ? 1.0f : __expf(other_largest - both);
    sum = sum * own_scale + other_sum * other_scale;
    largest = both;
  }
};

/// The log-sum-exp over time of the thread's columns, and of column t in thread t < kColumns as
/// `finished`.
__device__ Columns log_sum_exp(const uint16_t* y, const Place& place, float* finished) {
  __shared__ Partial largest, sums;
  __shared__ float result[kColumns];
  ExpSum own[kWidth];
#pragma unroll 4
  for (int s = place.first; s < place.end; s += kTimeLanes) {
    const Columns values = load(y + place.element(s));
#pragma unroll
    for (int i = 0; i < kWidth; ++i) own[i].add(values.at[i]);
  }
  Columns columns_largest, columns_sum;
#pragma unroll
  for (int i = 0; i < kWidth; ++i) {
#pragma unroll
    for (int distance = kGroup; distance < 32; distance *= 2) {
      const float other_largest = __shfl_xor_sync(kAllLanes, own[i].largest, distance);
      const float other_sum = __shfl_xor_sync(kAllLanes, own[i].sum, distance);
      own[i].add(other_largest, other_sum);
    }
    columns_largest.at[i] = own[i].largest;
    columns_sum.at[i] = own[i].sum;
  }
  share(largest, columns_largest);
  share(sums, columns_sum);
  __syncthreads();
  if (threadIdx.x < kColumns) {
    ExpSum all;
#pragma unroll
    for (int warp = 0; warp < kWarps; ++warp)
      all.add(largest[warp][threadIdx.x], sums[warp][threadIdx.x]);
    *finished = result[threadIdx.x] = all.largest + logf(all.sum);
  }
  __syncthreads();
  Columns columns;
#pragma unroll
  for (int i = 0; i < kWidth; ++i) columns.at[i] = result[threadIdx.x % kGroup * kWidth + i];
  return columns;
}

__global__ void __launch_bounds__(kThreads)
    time_softmax_kernel(const uint16_t* __restrict__ y, const int32_t* __restrict__ rest,
                        NumberView<const float> mass, uint16_t* __restrict__ weights, float* lse,
                        float* mixed_mass, TimeSoftmaxShape shape) {
  __shared__ Partial partial;
  const Place place(shape);
  float finished = 0.0f;
  const Columns column_lse = log_sum_exp(y, place, &finished);
  const int32_t* row_rest = rest + place.row * shape.time;
  const float* __restrict__ row_mass = mass.data + place.row / shape.heads * mass.batch_stride +
                                       place.row % shape.heads * mass.head_stride;
  Columns sums = filled(0.0f);
#pragma unroll 4
  for (int s = place.first; s < place.end; s += kTimeLanes) {
    Columns weight = load(y + place.element(s));
    const float token_mass = row_mass[row_rest[s]];
#pragma unroll
    for (int i = 0; i < kWidth; ++i) weight.at[i] = __expf(weight.at[i] - column_lse.at[i]);
    store(weights + place.element(s), weight);
#pragma unroll
    for (int i = 0; i < kWidth; ++i) sums.at[i] += weight.at[i] * token_mass;
  }
  const float mass_sum = column_sum(partial, sums);
  const int64_t column = place.finished_column(static_cast<int>(threadIdx.x));
  if (column < 0) return;
  lse[column] = finished;
  mixed_mass[column] = mass_sum;
}

__global__ void __launch_bounds__(kThreads)
    time_softmax_gradient_kernel(const uint16_t* __restrict__ y, const float* lse,
                                 const uint16_t* __restrict__ d_weights, uint16_t* __restrict__ dy,
                                 float* d_bias, TimeSoftmaxShape shape) {
  __shared__ Partial partial;
  __shared__ float means[kColumns];
  const Place place(shape);
  Columns column_lse = filled(0.0f);
  if (place.end > 0) {
#pragma unroll
    for (int i = 0; i < kWidth; ++i)
      column_lse.at[i] = lse[place.row * shape.mixed + place.column + i];
  }
  Columns sums = filled(0.0f);
#pragma unroll 4
  for (int s = place.first; s < place.end; s += kTimeLanes) {
    const Columns values = load(y + place.element(s));
    const Columns slopes = load(d_weights + place.element(s));
#pragma unroll
    for (int i = 0; i < kWidth; ++i)
      sums.at[i] += __expf(values.at[i] - column_lse.at[i]) * slopes.at[i];
  }
  const float mean = column_sum(partial, sums);
  if (threadIdx.x < kColumns) means[threadIdx.x] = mean;
  __syncthreads();

  Columns column_mean;
#pragma unroll
  for (int i = 0; i < kWidth; ++i) column_mean.at[i] = means[threadIdx.x % kGroup * kWidth + i];
  sums = filled(0.0f);
#pragma unroll 4
  for (int s = place.first; s < place.end; s += kTimeLanes) {
    const Columns values = load(y + place.element(s));
    const Columns slopes = load(d_weights + place.element(s));
    Columns gradient;
#pragma unroll
    for (int i = 0; i < kWidth; ++i) {
      const float weight = __expf(values.at[i] - column_lse.at[i]);
      gradient.at[i] = values.at[i] > 0.0f ? weight * (slopes.at[i] - column_mean.at[i]) : 0.0f;
      sums.at[i] += gradient.at[i];
    }
    store(dy + place.element(s), gradient);
  }
  const float bias = column_sum(partial, sums);
  const int64_t column = place.finished_column(static_cast<int>(threadIdx.x));
  if (column >= 0) d_bias[column] = bias;
}

dim3 grid_of(const TimeSoftmaxShape& shape) {
  return dim3(static_cast<unsigned>(shape.rows),
              static_cast<unsigned>((shape.mixed + kColumns - 1) / kColumns));
}

}  // namespace

void launch_time_softmax(const uint16_t* y, const int32_t* rest,
                         const NumberView<const float>& mass, uint16_t* weights, float* lse,
                         float* mixed_mass, const TimeSoftmaxShape& shape, CUstream_st* stream) {
  time_softmax_kernel<<<grid_of(shape), kThreads, 0, stream>>>(y, rest, mass, weights, lse,
                                                               mixed_mass, shape);
}

void launch_time_softmax_gradient(const uint16_t* y, const float* lse, const uint16_t* d_weights,
                                  uint16_t* dy, float* d_bias, const TimeSoftmaxShape& shape,
                                  CUstream_st* stream) {
  time_softmax_gradient_kernel<<<grid_of(shape), kThreads, 0, stream>>>(y, lse, d_weights, dy,
                                                                        d_bias, shape);
}

}  // namespace lococo
