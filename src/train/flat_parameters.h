// The trained parameters one behind another in one buffer, and their gradients in another, cut into
// equal parts: what ranks that share the optimizer's work hand to each other.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <vector>

#include "model/registry.h"

namespace lococo {

/// What one part holds of one parameter.
struct FlatSlice {
  size_t parameter = 0;  ///< index into parameters()
  int64_t begin = 0;     ///< first element, of the parameter as one row
  int64_t length = 0;    ///< elements
};

/// Every parameter begins at a multiple of kChunk elements and is padded with zeros up to the next:
/// chunks of a parameter are the same whatever the number of parts, and sums over chunks too.
class FlatParameters {
 public:
  /// Elements of a chunk; no part begins inside one. In bytes a multiple of what kernels ask for.
  static constexpr int64_t kChunk = 1024;

  /// Moves the memory of `trainable` (float32 leaves on one device, not empty; the handles are
  /// shared with the model) into weights(), and gives each a gradient of zeros in gradients().
  /// Nothing moves afterwards: CUDA graphs hold the addresses. For a moment the weights are there
  /// twice, before there are gradients.
  FlatParameters(std::vector<RegisteredParameter> trainable, int64_t parts);

  const std::vector<RegisteredParameter>& parameters() const { return parameters_; }

  /// float32 [parts * part_length()], 1-D.
  torch::Tensor& weights() { return weights_; }
  torch::Tensor& gradients() { return gradients_; }

  int64_t part_length() const { return part_length_; }  ///< elements, a multiple of kChunk
  int64_t chunks() const {
    return chunks_;
  }  ///< that hold parameters; the rest fills the last part

  /// A part of such a tensor: a view.
  torch::Tensor part(const torch::Tensor& flat, int64_t part) const {
    return flat.narrow(/*dim=*/0, part * part_length_, part_length_);
  }

  /// What a part holds, in the order of parameters(), each of them at most once. The parts' slices
  /// of a parameter, in their order, are the whole of it.
  std::vector<FlatSlice> slices(int64_t part) const;

  /// A slice's weights and gradients as a parameter of its own: a leaf of one row, or of the
  /// parameter's shape where the slice is the whole of it; views.
  RegisteredParameter view(const FlatSlice& slice) const;

  /// Fails (our bug) when someone has moved a parameter or its gradient out of the buffers.
  void check_in_place() const;

 private:
  std::vector<RegisteredParameter> parameters_;
  std::vector<int64_t> offsets_;  ///< as parameters_: first element in the buffers
  torch::Tensor weights_, gradients_;
  int64_t part_length_ = 0, chunks_ = 0;
};

}  // namespace lococo
