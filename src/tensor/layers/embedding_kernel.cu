#include <cuda_runtime.h>

#include "tensor/kit/row_access.cuh"
#include "tensor/layers/embedding_kernel.h"

namespace lococo {
namespace {

constexpr int kThreads = 128;

/// One block for each position. kWidth: neighbouring columns that a thread takes at a time.
template <typename Out, int kWidth>
__global__ void __launch_bounds__(kThreads)
    embedding_kernel(const float* weight, const int64_t* tokens, Out* out, EmbeddingShape shape) {
  const int64_t position = blockIdx.x, token = tokens[position];
  if (token < 0 || token >= shape.V) __trap();
  for (int64_t e = threadIdx.x * kWidth; e < shape.E; e += kThreads * kWidth) {
    float values[kWidth];
    read_row(values, weight + token * shape.E + e);
    write_row(out + position * shape.E + e, values);
  }
}

/// Block (i, c): if place i is the first of its token, adds the rows of all its places to columns c
/// kThreads kWidth .. of the token's row.
template <typename Gradient, int kWidth>
__global__ void __launch_bounds__(kThreads)
    add_rows_kernel(EmbeddingBackward x, const Gradient* gradient, EmbeddingShape shape) {
  constexpr int kBatch = 8;  // rows on their way at a time
  const int count = static_cast<int>(shape.positions), first = blockIdx.x;
  const int token = x.sorted_tokens[first];
  if (first > 0 && x.sorted_tokens[first - 1] == token) return;
  const int64_t column = (static_cast<int64_t>(blockIdx.y) * kThreads + threadIdx.x) * kWidth;
  if (column >= shape.E) return;

  float sum[kWidth] = {};
  bool more = true;
  for (int begin = first; more; begin += kBatch) {
    const Gradient* source[kBatch];
#pragma unroll
    for (int i = 0; i < kBatch; ++i) {
      const int place = min(begin + i, count - 1);
      more = begin + i < count && x.sorted_tokens[place] == token;
      source[i] = more ? gradient + x.order[place] * shape.E + column : nullptr;
    }
    float rows[kBatch][kWidth] = {};
#pragma unroll
    for (int i = 0; i < kBatch; ++i) {
      if (source[i] != nullptr) read_row(rows[i], source[i]);
    }
#pragma unroll
    for (int i = 0; i < kBatch; ++i) {
      for (int e = 0; e < kWidth; ++e) sum[e] += rows[i][e];
    }
  }
  float* target = x.weight_gradient + token * shape.E + column;
  float values[kWidth];
  read_row(values, target);
  for (int e = 0; e < kWidth; ++e) values[e] += sum[e];
  write_row(target, values);
}

template <typename Out>
void launch_lookup(const float* weight, const int64_t* tokens, Out* out,
                   const EmbeddingShape& shape, CUstream_st* stream) {
  const auto blocks = static_cast<unsigned>(shape.positions);
  if (shape.E % 8 == 0)
    embedding_kernel<Out, 8><<<blocks, kThreads, 0, stream>>>(weight, tokens, out, shape);
  else
    embedding_kernel<Out, 1><<<blocks, kThreads, 0, stream>>>(weight, tokens, out, shape);
}

template <typename Gradient, int kWidth>
void launch_add_rows(const EmbeddingBackward& x, const EmbeddingShape& shape, CUstream_st* stream) {
  constexpr int64_t kColumns = kThreads * kWidth;
  const dim3 grid(static_cast<unsigned>(shape.positions),
                  static_cast<unsigned>((shape.E + kColumns - 1) / kColumns));
  add_rows_kernel<Gradient, kWidth>
      <<<grid, kThreads, 0, stream>>>(x, static_cast<const Gradient*>(x.gradient), shape);
}

template <typename Gradient>
void launch_add_rows_of(const EmbeddingBackward& x, const EmbeddingShape& shape,
                        CUstream_st* stream) {
  if (shape.E % 8 == 0)
    launch_add_rows<Gradient, 8>(x, shape, stream);
  else
    launch_add_rows<Gradient, 1>(x, shape, stream);
}

}  // namespace

void launch_embedding(const float* weight, const int64_t* tokens, void* out, ElementType out_type,
                      const EmbeddingShape& shape, CUstream_st* stream) {
  if (out_type == ElementType::kFloat32)
    launch_lookup(weight, tokens, static_cast<float*>(out), shape, stream);
  else
    launch_lookup(weight, tokens, static_cast<__nv_bfloat16*>(out), shape, stream);
}

void launch_embedding_backward(const EmbeddingBackward& x, const EmbeddingShape& shape,
                               CUstream_st* stream) {
  if (x.gradient_type == ElementType::kFloat32)
    launch_add_rows_of<float>(x, shape, stream);
  else
    launch_add_rows_of<__nv_bfloat16>(x, shape, stream);
}

}  // namespace lococo
