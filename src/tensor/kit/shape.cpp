#include "tensor/kit/shape.h"

namespace lococo {

void check_shape(const torch::Tensor& tensor, const char* name, at::IntArrayRef want) {
  TORCH_CHECK(tensor.defined(), name, " is undefined");
  bool same = tensor.dim() == static_cast<int64_t>(want.size());
  for (size_t axis = 0; same && axis < want.size(); ++axis) {
    same = want[axis] == -1 || tensor.size(static_cast<int64_t>(axis)) == want[axis];
  }
  TORCH_CHECK(same, name, ": want ", want, ", got ", tensor.sizes());
}

}  // namespace lococo
