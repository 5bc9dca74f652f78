#include "tensor/layers/rotary.h"

#include <torch/csrc/autograd/custom_function.h>

#include <limits>

#include "tensor/kit/kernel_input.h"
#include "tensor/kit/kernel_launch.h"
#include "tensor/kit/shape.h"
#include "tensor/kit/wide.h"
#include "tensor/layers/rotary_kernel.h"

namespace lococo {
namespace {

#ifdef LOCOCO_WITH_CUDA

bool is_fusable(const torch::Tensor& x_BHLD, const torch::Tensor& cos_LD,
                const torch::Tensor& sin_LD) {
  return has_kernel_element(x_BHLD) && x_BHLD.numel() <= std::numeric_limits<uint32_t>::max() &&
         cos_LD.is_cuda() && cos_LD.scalar_type() == torch::kFloat32 && sin_LD.is_cuda() &&
         sin_LD.scalar_type() == torch::kFloat32 && cos_LD.stride(1) == 1 &&
         sin_LD.strides() == cos_LD.strides() && !cos_LD.requires_grad() && !sin_LD.requires_grad();
}

RotaryStrides strides_of(const torch::Tensor& x_BHLD) {
  return {x_BHLD.stride(0), x_BHLD.stride(1), x_BHLD.stride(2)};
}

bool fits_vectors(const torch::Tensor& x_BHLD) {
  return is_aligned(x_BHLD) && x_BHLD.stride(0) % 8 == 0 && x_BHLD.stride(1) % 8 == 0 &&
         x_BHLD.stride(2) % 8 == 0;
}

/// Turns x by direction times the angles into `out`, both of last stride 1. place_BHL: contiguous,
/// or undefined.
void run_rotary(const torch::Tensor& x_BHLD, const torch::Tensor& out_BHLD,
                const torch::Tensor& cos_LD, const torch::Tensor& sin_LD, float direction,
                const torch::Tensor& place_BHL = {}) {
  const int* places = place_BHL.defined() ? place_BHL.const_data_ptr<int>() : nullptr;
  const int64_t D = x_BHLD.size(3);
  const bool vectorised = D % 16 == 0 && fits_vectors(x_BHLD) && fits_vectors(out_BHLD) &&
                          is_aligned(cos_LD) && is_aligned(sin_LD) && cos_LD.stride(0) % 4 == 0;
  launch_on(x_BHLD, [&](CUstream_st* stream) {
    launch_rotary({x_BHLD.const_data_ptr(), out_BHLD.data_ptr(), strides_of(x_BHLD),
                   strides_of(out_BHLD), x_BHLD.size(0), x_BHLD.size(1), x_BHLD.size(2), D,
                   cos_LD.const_data_ptr<float>(), sin_LD.const_data_ptr<float>(), cos_LD.stride(0),
                   places, direction, element_type_of(x_BHLD), vectorised},
                  stream);
  });
}

torch::Tensor with_unit_last_stride(const torch::Tensor& x) {
  return x.stride(-1) == 1 ? x : x.contiguous();
}

struct RotaryFunction : torch::autograd::Function<RotaryFunction> {
  static torch::Tensor forward(torch::autograd::AutogradContext* context,
                               const torch::Tensor& x_BHLD, const torch::Tensor& cos_LD,
                               const torch::Tensor& sin_LD) {
    auto out_BHLD = torch::empty(x_BHLD.sizes(), x_BHLD.options());
    run_rotary(with_unit_last_stride(x_BHLD), out_BHLD, cos_LD, sin_LD, /*direction=*/1.0F);
    context->save_for_backward({cos_LD, sin_LD});
    return out_BHLD;
  }

  /// The transposed rotation is the rotation back.
  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list output_gradients) {
    const auto saved = context->get_saved_variables();
    const auto d_out_BHLD = with_unit_last_stride(output_gradients[0]);
    const int64_t B = d_out_BHLD.size(0), H = d_out_BHLD.size(1), L = d_out_BHLD.size(2),
                  D = d_out_BHLD.size(3);
    auto d_x_BHLD = torch::empty({B, L, H, D}, d_out_BHLD.options()).transpose(1, 2);
    run_rotary(d_out_BHLD, d_x_BHLD, saved[0], saved[1], /*direction=*/-1.0F);
    return {d_x_BHLD, {}, {}};
  }
};

struct RotaryAtFunction : torch::autograd::Function<RotaryAtFunction> {
  static torch::Tensor forward(torch::autograd::AutogradContext* context,
                               const torch::Tensor& x_BGSD, const torch::Tensor& place_BGS,
                               const torch::Tensor& cos_XD, const torch::Tensor& sin_XD) {
    auto out_BGSD = torch::empty(x_BGSD.sizes(), x_BGSD.options());
    run_rotary(with_unit_last_stride(x_BGSD), out_BGSD, cos_XD, sin_XD, /*direction=*/1.0F,
               place_BGS);
    context->save_for_backward({place_BGS, cos_XD, sin_XD});
    return out_BGSD;
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list output_gradients) {
    const auto saved = context->get_saved_variables();
    const auto d_out_BGSD = with_unit_last_stride(output_gradients[0]);
    auto d_x_BGSD = torch::empty(d_out_BGSD.sizes(), d_out_BGSD.options());
    run_rotary(d_out_BGSD, d_x_BGSD, saved[1], saved[2], /*direction=*/-1.0F, saved[0]);
    return {d_x_BGSD, {}, {}, {}};
  }
};

#endif

}  // namespace

torch::Tensor rotary_at(const torch::Tensor& x_BGSD, const torch::Tensor& place_BGS,
                        const torch::Tensor& cos_XD, const torch::Tensor& sin_XD) {
  const int64_t B = x_BGSD.size(0), G = x_BGSD.size(1), S = x_BGSD.size(2), D = x_BGSD.size(3);
  CHECK_SHAPE(place_BGS, B, G, S);
  CHECK_SHAPE(cos_XD, -1, D);
  CHECK_SHAPE(sin_XD, cos_XD.size(0), D);
  TORCH_CHECK(place_BGS.scalar_type() == torch::kInt32, "want places in int32");
#ifdef LOCOCO_WITH_CUDA
  if (is_fusable(x_BGSD, cos_XD, sin_XD))
    return RotaryAtFunction::apply(x_BGSD, place_BGS.contiguous(), cos_XD, sin_XD);
#endif
  return rotary_at_reference(x_BGSD, place_BGS, cos_XD, sin_XD);
}

torch::Tensor rotary_at_reference(const torch::Tensor& x_BGSD, const torch::Tensor& place_BGS,
                                  const torch::Tensor& cos_XD, const torch::Tensor& sin_XD) {
  const auto angles_of = [&](const torch::Tensor& table_XD) {
    const auto rows = table_XD.index_select(/*dim=*/0, place_BGS.reshape({-1}).to(torch::kInt64));
    return rows.view({x_BGSD.size(0), x_BGSD.size(1), x_BGSD.size(2), x_BGSD.size(3)});
  };
  return rotary_reference(x_BGSD, angles_of(cos_XD), angles_of(sin_XD));
}

torch::Tensor rotary(const torch::Tensor& x_BHLD, const torch::Tensor& cos_LD,
                     const torch::Tensor& sin_LD) {
  CHECK_SHAPE(x_BHLD, -1, -1, -1, -1);
  const int64_t L = x_BHLD.size(2), D = x_BHLD.size(3);
  CHECK_SHAPE(cos_LD, L, D);
  CHECK_SHAPE(sin_LD, L, D);
  TORCH_CHECK(D % 2 == 0, "rotary needs an even head dimension, not ", D);
#ifdef LOCOCO_WITH_CUDA
  if (is_fusable(x_BHLD, cos_LD, sin_LD)) return RotaryFunction::apply(x_BHLD, cos_LD, sin_LD);
#endif
  return rotary_reference(x_BHLD, cos_LD, sin_LD);
}

torch::Tensor rotary_reference(const torch::Tensor& x_BHLD, const torch::Tensor& cos_LD,
                               const torch::Tensor& sin_LD) {
  const auto wide = wide_of(x_BHLD);
  const auto x = x_BHLD.to(wide);
  const auto halves = x.chunk(2, /*dim=*/-1);
  const auto turned = torch::cat({-halves[1], halves[0]}, /*dim=*/-1);
  return (x * cos_LD + turned * sin_LD).to(x_BHLD.scalar_type());
}

}  // namespace lococo
