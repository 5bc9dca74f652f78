#include "tensor/layers/embedding.h"

#include <torch/csrc/autograd/custom_function.h>

#include "tensor/kit/kernel_input.h"
#include "tensor/kit/kernel_launch.h"
#include "tensor/kit/shape.h"
#include "tensor/layers/embedding_kernel.h"

namespace lococo {
namespace {

#ifdef LOCOCO_WITH_CUDA

constexpr int64_t kMostRows = (int64_t{1} << 30) - 1;  // of the weight, and tokens

bool kernel_takes(const torch::Tensor& weight_VE, const torch::Tensor& tokens_BL,
                  torch::ScalarType dtype) {
  return weight_VE.is_cuda() && weight_VE.scalar_type() == torch::kFloat32 &&
         weight_VE.is_contiguous() && is_aligned(weight_VE) && weight_VE.is_leaf() &&
         (dtype == torch::kBFloat16 || dtype == torch::kFloat32) &&
         tokens_BL.scalar_type() == torch::kInt64 && tokens_BL.device() == weight_VE.device() &&
         tokens_BL.numel() > 0 && tokens_BL.numel() <= kMostRows && weight_VE.size(0) <= kMostRows;
}

/// gradient_VE += the rows of `gradient` at the tokens that they belong to.
void add_rows(const torch::Tensor& gradient, const torch::Tensor& tokens,
              torch::Tensor gradient_VE) {
  const EmbeddingShape shape = {tokens.numel(), gradient_VE.size(0), gradient_VE.size(1)};
  const auto rows = kernel_ready(gradient);
  // Stable, so that equal tokens stay in the order of their positions.
  const auto sorted = torch::sort(tokens.flatten().to(torch::kInt32), /*stable=*/true,
                                  /*dim=*/0, /*descending=*/false);
  EmbeddingBackward tensors{};
  tensors.gradient = rows.const_data_ptr();
  tensors.gradient_type = element_type_of(rows);
  tensors.sorted_tokens = std::get<0>(sorted).const_data_ptr<int32_t>();
  tensors.order = std::get<1>(sorted).const_data_ptr<int64_t>();
  tensors.weight_gradient = gradient_VE.data_ptr<float>();
  launch_on(gradient_VE,
            [&](CUstream_st* stream) { launch_embedding_backward(tensors, shape, stream); });
}

/// Whether the backward pass adds into the gradient that the weight has already, see embedding().
bool can_add_into(const torch::Tensor& gradient_VE, const torch::Tensor& weight_VE) {
  return gradient_VE.defined() && gradient_VE.scalar_type() == torch::kFloat32 &&
         gradient_VE.device() == weight_VE.device() && gradient_VE.is_contiguous() &&
         is_aligned(gradient_VE) && gradient_VE.sizes() == weight_VE.sizes();
}

struct Lookup : torch::autograd::Function<Lookup> {
  static torch::Tensor forward(torch::autograd::AutogradContext* context,
                               const torch::Tensor& weight_VE, const torch::Tensor& tokens_BL,
                               torch::ScalarType dtype) {
    const auto tokens = tokens_BL.contiguous();
    const EmbeddingShape shape = {tokens.numel(), weight_VE.size(0), weight_VE.size(1)};
    auto sizes = tokens.sizes().vec();
    sizes.push_back(shape.E);
    auto out = torch::empty(sizes, weight_VE.options().dtype(dtype).requires_grad(false));
    launch_on(weight_VE, [&](CUstream_st* stream) {
      launch_embedding(weight_VE.const_data_ptr<float>(), tokens.const_data_ptr<int64_t>(),
                       out.data_ptr(), element_type_of(out), shape, stream);
    });
    // Of a leaf the variable itself comes back, and with it its gradient.
    context->save_for_backward({weight_VE, tokens});
    return out;
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list output_gradients) {
    const auto saved = context->get_saved_variables();
    const auto& weight_VE = saved[0];
    torch::autograd::variable_list result(3);
    if (!context->needs_input_grad(0)) return result;
    if (can_add_into(weight_VE.grad(), weight_VE)) {
      add_rows(output_gradients[0], saved[1], weight_VE.grad());
    } else {
      result[0] = torch::zeros_like(weight_VE);
      add_rows(output_gradients[0], saved[1], result[0]);
    }
    return result;
  }
};

#endif

}  // namespace

torch::Tensor embedding(const torch::Tensor& weight_VE, const torch::Tensor& tokens_BL,
                        torch::ScalarType dtype) {
  CHECK_SHAPE(weight_VE, -1, -1);
#ifdef LOCOCO_WITH_CUDA
  if (kernel_takes(weight_VE, tokens_BL, dtype)) return Lookup::apply(weight_VE, tokens_BL, dtype);
#endif
  return torch::embedding(weight_VE, tokens_BL).to(dtype);
}

}  // namespace lococo
