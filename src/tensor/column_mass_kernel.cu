#include <cuda_runtime.h>

#include <algorithm>

#include "tensor/column_mass_kernel.h"

namespace lococo {
namespace {

constexpr int kThreads = 128;  // one key each, so that a warp reads 128 neighbouring bytes of a row

__global__ void column_mass_kernel(const float* scores, const float* lse, float* partial,
                                   ColumnMassShape shape) {
  const int64_t key = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (key >= shape.keys) return;
  const int64_t chunk = blockIdx.y;
  const int64_t first_row = chunk * kColumnMassRows;
  const int64_t last_row =
      first_row + kColumnMassRows < shape.rows ? first_row + kColumnMassRows : shape.rows;
  const int64_t cached = shape.keys - shape.queries;

  for (int64_t batch = blockIdx.z; batch < shape.batches; batch += gridDim.z) {
    const float* batch_scores = scores + batch * shape.rows * shape.keys;
    const float* batch_lse = lse + batch * shape.rows;
    float sum = 0.0f;
    for (int64_t row = first_row; row < last_row; ++row) {
      const int64_t query = row % shape.queries;
      if (key <= cached + query)
        sum += __expf(shape.scale * batch_scores[row * shape.keys + key] - batch_lse[row]);
    }
    partial[(batch * gridDim.y + chunk) * shape.keys + key] = sum;
  }
}

}  // namespace

void launch_column_mass(const float* scores, const float* lse, float* partial,
                        const ColumnMassShape& shape, CUstream_st* stream) {
  const auto key_blocks = static_cast<unsigned>((shape.keys + kThreads - 1) / kThreads);
  const auto chunks = static_cast<unsigned>((shape.rows + kColumnMassRows - 1) / kColumnMassRows);
  const auto batches = static_cast<unsigned>(std::min<int64_t>(shape.batches, 65535));
  column_mass_kernel<<<dim3(key_blocks, chunks, batches), kThreads, 0, stream>>>(scores, lse,
                                                                                 partial, shape);
}

}  // namespace lococo
