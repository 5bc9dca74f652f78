#include <cuda_runtime.h>

#include "lococo/append_kernel.h"
#include "tensor/kit/packed8.cuh"

namespace lococo {
namespace {

constexpr int kThreads = 256;
constexpr int kVector = 8;       // channels of one access
constexpr int kVectorsEach = 4;  // independent loads of a thread

__global__ void append_kernel(SlotView<const uint16_t> past, SlotView<const uint16_t> fresh,
                              SlotView<uint16_t> to, AppendShape shape) {
  const int64_t batch = blockIdx.y / shape.heads, head = blockIdx.y % shape.heads;
  const int vectors_of_slot = shape.channels / kVector;
  const int64_t vectors = static_cast<int64_t>(shape.past + shape.fresh) * vectors_of_slot;
  const int64_t first = static_cast<int64_t>(blockIdx.x) * kThreads * kVectorsEach + threadIdx.x;
  Packed8<uint16_t> values[kVectorsEach];
#pragma unroll
  for (int i = 0; i < kVectorsEach; ++i) {
    const int64_t vector = first + i * kThreads;
    if (vector >= vectors) continue;
    const int64_t slot = vector / vectors_of_slot;
    const bool is_past = slot < shape.past;
    const SlotView<const uint16_t>& from = is_past ? past : fresh;
    const uint16_t* source = from.data + batch * from.batch_stride + head * from.head_stride +
                             (is_past ? slot : slot - shape.past) * from.slot_stride +
                             vector % vectors_of_slot * kVector;
    values[i] = load8(source);
  }
#pragma unroll
  for (int i = 0; i < kVectorsEach; ++i) {
    const int64_t vector = first + i * kThreads;
    if (vector >= vectors) continue;
    uint16_t* target = to.data + batch * to.batch_stride + head * to.head_stride +
                       vector / vectors_of_slot * to.slot_stride +
                       vector % vectors_of_slot * kVector;
    store8(target, values[i]);
  }
}

}  // namespace

void launch_append_slots(const SlotView<const uint16_t>& past,
                         const SlotView<const uint16_t>& fresh, const SlotView<uint16_t>& to,
                         const AppendShape& shape, CUstream_st* stream) {
  const int64_t vectors =
      static_cast<int64_t>(shape.past + shape.fresh) * (shape.channels / kVector);
  const int64_t per_block = static_cast<int64_t>(kThreads) * kVectorsEach;
  const dim3 grid(static_cast<unsigned>((vectors + per_block - 1) / per_block),
                  static_cast<unsigned>(shape.rows));
  append_kernel<<<grid, kThreads, 0, stream>>>(past, fresh, to, shape);
}

}  // namespace lococo
