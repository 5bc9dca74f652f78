#include <cuda_runtime.h>

#include "lococo/compress_kernel.h"
#include "tensor/kit/packed8.cuh"
#include "tensor/kit/reduce.cuh"

namespace lococo {
namespace {

constexpr int kThreads = 256;
constexpr int kWidth = 8;  // channels that a thread moves at once: 16 bytes

using Vector = Packed8<uint16_t>;

template <typename Bits>
__device__ Bits* slot_at(const SlotView<Bits>& view, int64_t row, int64_t heads, int64_t slot) {
  return view.data + row / heads * view.batch_stride + row % heads * view.head_stride +
         slot * view.slot_stride;
}

/// Where a thread is in [list entries, 2 D channels]: keys first, then values.
struct Place {
  __device__ Place(const CompressShape& shape, int index) {
    const int vectors = 2 * shape.channels / kWidth;
    entry = index / vectors;
    channel = index % vectors * kWidth;
    is_key = channel < shape.channels;
    own_channel = is_key ? channel : channel - shape.channels;
  }
  int entry;
  int channel;      ///< of the 2 D
  int own_channel;  ///< of the D of keys or values
  bool is_key;

  __device__ bool is_mixed(const CompressShape& shape) const { return shape.mix_keys || !is_key; }

  /// Of mixture [X, R, C'], for the r-th mixed slot of a row.
  __device__ int64_t in_mixture(const CompressShape& shape, int64_t row, int r) const {
    const int64_t mixed = row * shape.mixed + r;
    return shape.mix_keys ? mixed * 2 * shape.channels + channel
                          : mixed * shape.channels + own_channel;
  }
};

__device__ Vector load_or_zeros(const SlotView<const uint16_t>& view, int64_t row, int64_t heads,
                                int slot, const Place& place) {
  if (view.data == nullptr) return Vector{};
  return load8(slot_at(view, row, heads, slot) + place.own_channel);
}

__device__ int thread_index() {
  return static_cast<int>(blockIdx.y) * kThreads + static_cast<int>(threadIdx.x);
}

dim3 grid_of(const CompressShape& shape, int64_t entries) {
  const int64_t vectors = entries * 2 * shape.channels / kWidth;
  return dim3(static_cast<unsigned>(shape.rows),
              static_cast<unsigned>((vectors + kThreads - 1) / kThreads));
}

__global__ void __launch_bounds__(kThreads)
    gather_rest_kernel(SlotView<const uint16_t> k, SlotView<const uint16_t> v, const int32_t* rest,
                       uint16_t* x, CompressShape shape, int rest_slots) {
  const int64_t row = blockIdx.x;
  const Place place(shape, thread_index());
  if (place.entry >= rest_slots) return;
  const int64_t to = row * rest_slots + place.entry;
  const uint16_t* from = place.is_key ? slot_at(k, row, shape.heads, rest[to])
                                      : slot_at(v, row, shape.heads, rest[to]);
  store8(x + to * 2 * shape.channels + place.channel, load8(from + place.own_channel));
}

/// a, the convolution's share in the mixed slots of a row.
__device__ float share_of(const float* normalizer, const CompressShape& shape, int64_t row) {
  return normalizer[shape.own_shares ? row % shape.heads : 0];
}

/// (1 - a) * residual + a * mixture.
__device__ Vector mix(const Vector& residual, const Vector& mixture, float a) {
  float from[kWidth], of[kWidth], mixed[kWidth];
  unpack8(residual, from);
  unpack8(mixture, of);
#pragma unroll
  for (int i = 0; i < kWidth; ++i) mixed[i] = (1.0f - a) * from[i] + a * of[i];
  return {pack8(mixed)};
}

template <typename Number>
__device__ Number& number_at(const NumberView<Number>& view, int64_t row, int64_t heads, int slot) {
  return view.data[row / heads * view.batch_stride + row % heads * view.head_stride + slot];
}

__device__ void write_mass(const WriteSlots& slots, const CompressShape& shape, int64_t row,
                           int entry, int source, int target) {
  const int kept = shape.result - shape.mixed;
  float mass = number_at(slots.mass, row, shape.heads, source);
  if (entry >= kept) {
    const float a = share_of(slots.normalizer, shape, row);
    mass = (1.0f - a) * mass + a * slots.mixed_mass[row * shape.mixed + entry - kept];
  }
  number_at(slots.mass_out, row, shape.heads, target) = shape.decay * mass;
}

/// The numbers beside key and value.
__device__ void write_numbers(const WriteSlots& slots, const CompressShape& shape, int64_t row,
                              int entry, int source, int target) {
  if (slots.mass_out.data != nullptr) write_mass(slots, shape, row, entry, source, target);
  if (slots.score_out.data != nullptr) {
    number_at(slots.score_out, row, shape.heads, target) =
        number_at(slots.score, row, shape.heads, source);
  }
  if (slots.place_out.data != nullptr) {
    number_at(slots.place_out, row, shape.heads, target) =
        number_at(slots.place, row, shape.heads, source);
  }
}

__global__ void __launch_bounds__(kThreads)
    write_slots_kernel(WriteSlots slots, CompressShape shape) {
  const int64_t row = blockIdx.x;
  const Place place(shape, thread_index());
  if (place.entry >= shape.result) return;
  const int newest = place.entry < shape.sinks ? 0 : shape.slots - shape.result;
  const int64_t list = row * shape.result + place.entry;
  const int source = slots.source != nullptr ? slots.source[list] : place.entry + newest;
  const int target = slots.target != nullptr ? slots.target[list] : place.entry;

  const uint16_t* from = place.is_key ? slot_at(slots.k, row, shape.heads, source)
                                      : slot_at(slots.v, row, shape.heads, source);
  Vector value = load8(from + place.own_channel);
  const int mixed = place.entry - (shape.result - shape.mixed);
  if (mixed >= 0 && place.is_mixed(shape)) {
    const Vector mixture = load8(slots.mixture + place.in_mixture(shape, row, mixed));
    value = mix(value, mixture, share_of(slots.normalizer, shape, row));
  }
  uint16_t* to = place.is_key ? slot_at(slots.k_out, row, shape.heads, target)
                              : slot_at(slots.v_out, row, shape.heads, target);
  store8(to + place.own_channel, value);
  if (place.channel == 0) write_numbers(slots, shape, row, place.entry, source, target);
}

__global__ void __launch_bounds__(kThreads)
    mixture_gradient_kernel(MixtureGradient gradient, CompressShape shape, int rest_slots) {
  const int64_t row = blockIdx.x;
  const Place place(shape, thread_index());
  float sum = 0.0f;
  if (place.entry < shape.mixed && place.is_mixed(shape)) {
    const int64_t at = place.in_mixture(shape, row, place.entry);
    const int target =
        gradient.target[row * shape.result + shape.result - shape.mixed + place.entry];
    const int64_t residual_row =
        row * rest_slots + gradient.residual[row * shape.mixed + place.entry];
    float slope[kWidth], of[kWidth], from[kWidth], scaled[kWidth];
    unpack8(place.is_key ? load_or_zeros(gradient.dk, row, shape.heads, target, place)
                         : load_or_zeros(gradient.dv, row, shape.heads, target, place),
            slope);
    unpack8(load8(gradient.mixture + at), of);
    unpack8(load8(gradient.x + residual_row * 2 * shape.channels + place.channel), from);
    const float a = share_of(gradient.normalizer, shape, row);
#pragma unroll
    for (int i = 0; i < kWidth; ++i) scaled[i] = a * slope[i];
#pragma unroll
    for (int i = 0; i < kWidth; i += 2)
      sum += slope[i] * (of[i] - from[i]) + slope[i + 1] * (of[i + 1] - from[i + 1]);
    store8(gradient.d_mixture + at, scaled);
  }
  if (gradient.partial == nullptr) return;  // for all threads alike
  sum = block_sum<kThreads>(sum);
  if (threadIdx.x == 0) gradient.partial[row * gridDim.y + blockIdx.y] = sum;
}

}  // namespace

void launch_gather_rest(const SlotView<const uint16_t>& k, const SlotView<const uint16_t>& v,
                        const int32_t* rest, uint16_t* x, const CompressShape& shape,
                        CUstream_st* stream) {
  gather_rest_kernel<<<grid_of(shape, shape.rest()), kThreads, 0, stream>>>(k, v, rest, x, shape,
                                                                            shape.rest());
}

void launch_write_slots(const WriteSlots& slots, const CompressShape& shape, CUstream_st* stream) {
  write_slots_kernel<<<grid_of(shape, shape.result), kThreads, 0, stream>>>(slots, shape);
}

int64_t mixture_gradient_blocks(const CompressShape& shape) {
  const dim3 grid = grid_of(shape, shape.mixed);
  return static_cast<int64_t>(grid.x) * grid.y;
}

void launch_mixture_gradient(const MixtureGradient& gradient, const CompressShape& shape,
                             CUstream_st* stream) {
  mixture_gradient_kernel<<<grid_of(shape, shape.mixed), kThreads, 0, stream>>>(gradient, shape,
                                                                                shape.rest());
}

}  // namespace lococo
