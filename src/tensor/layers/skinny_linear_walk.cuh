// The order in which the warps of skinny_linear_kernel.cu go over the rows of the weights.
#pragma once

#include <cuda_runtime.h>

#include "tensor/layers/skinny_linear_kernel.h"

namespace lococo::skinny_walk {

constexpr int kWarps = 8;
constexpr int kOutputs = 2;  // weight rows of a warp at a time
constexpr int kBatch = 4;    // 16-byte loads of a lane from each of them
constexpr int kStep = 32 * kBatch;

/// Output `index` counted over all weights: which one, and its row there.
struct Output {
  int weight, row;
};

__device__ inline Output locate(const SkinnyLinearShape& shape, int index) {
  Output output = {0, index};
  while (output.weight + 1 < kSkinnyMaxWeights && output.row >= shape.outputs[output.weight])
    output.row -= shape.outputs[output.weight++];
  return output;
}

/// A place in a warp's work: a pair of outputs and the 16-byte words of their rows that are next.
struct Place {
  int unit;  ///< number of the pair
  int word;  ///< first word of the batch
  const uint4* rows[kOutputs];
};

class Walk {
 public:
  __device__ Walk(const SkinnyLinearTensors& tensors, const SkinnyLinearShape& shape)
      : tensors_(tensors), shape_(shape), words_(shape.width / 8) {
    total_ = shape.outputs[0] + shape.outputs[1] + shape.outputs[2];
    units_ = shape.swiglu ? shape.outputs[0] : (total_ + kOutputs - 1) / kOutputs;
  }

  __device__ Place first() const {
    Place place;
    place.unit = static_cast<int>(blockIdx.x) * kWarps + static_cast<int>(threadIdx.x) / 32;
    place.word = 0;
    set_rows(place);
    return place;
  }

  __device__ void advance(Place& place) const {
    place.word += kStep;
    if (place.word < words_) return;
    place.word = 0;
    place.unit += static_cast<int>(gridDim.x) * kWarps;
    set_rows(place);
  }

  __device__ bool done(const Place& place) const { return place.unit >= units_; }
  __device__ bool ends_unit(const Place& place) const { return place.word + kStep >= words_; }

  /// Output r of a unit; beyond the last one it repeats that one, which nobody writes.
  __device__ Output output(int unit, int r) const {
    if (shape_.swiglu) return {r, unit};
    return locate(shape_, min(kOutputs * unit + r, total_ - 1));
  }
  __device__ bool is_real(int unit, int r) const { return kOutputs * unit + r < total_; }

 private:
  __device__ void set_rows(Place& place) const {
    if (done(place)) return;
#pragma unroll
    for (int r = 0; r < kOutputs; ++r) {
      const Output o = output(place.unit, r);
      const void* weights = o.weight == 0   ? tensors_.weights[0]
                            : o.weight == 1 ? tensors_.weights[1]
                                            : tensors_.weights[2];
      place.rows[r] = static_cast<const uint4*>(weights) + static_cast<int64_t>(o.row) * words_;
    }
  }

  const SkinnyLinearTensors& tensors_;
  const SkinnyLinearShape& shape_;
  int words_, total_, units_;
};

}  // namespace lococo::skinny_walk
