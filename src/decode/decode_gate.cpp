#include "decode/decode_gate.h"

#include "tensor/kit/shape.h"
#include "tensor/kit/wide.h"

#ifdef LOCOCO_WITH_CUDA
#include <ATen/cuda/CUDAContext.h>

#include "decode/gate_kernel.h"
#include "lococo/slot_views.h"
#include "tensor/kit/kernel_launch.h"
#endif

namespace lococo {
namespace {

#ifdef LOCOCO_WITH_CUDA
void run_kernel(const torch::Tensor& product_BP, const GateTail& tail,
                const torch::Tensor& cursor_B2, const torch::Tensor& score_BGC) {
  TORCH_CHECK(product_BP.stride(1) == 1, "want neighbouring numbers of a product");
  TORCH_CHECK(cursor_B2.is_contiguous() && cursor_B2.scalar_type() == torch::kInt32,
              "want a contiguous int32 cursor");
  GateTensors tensors{};
  tensors.product = bits_of(product_BP);
  tensors.hidden_bias = tail.hidden_bias_U.const_data_ptr<float>();
  tensors.out_weight = tail.out_weight_GU.const_data_ptr<float>();
  tensors.out_bias = tail.out_bias_G.const_data_ptr<float>();
  tensors.cursor = cursor_B2.const_data_ptr<int32_t>();
  tensors.score = mutable_number_view_of<float>(score_BGC);
  GateShape shape{};
  shape.batch = static_cast<int>(product_BP.size(0));
  shape.heads = static_cast<int>(tail.out_weight_GU.size(0));
  shape.units = static_cast<int>(tail.out_weight_GU.size(1));
  shape.product_stride = static_cast<int>(product_BP.stride(0));
  shape.overlap = at::cuda::getDeviceProperties(product_BP.get_device())->major >= 9;
  launch_on(product_BP, [&](CUstream_st* stream) { launch_gate(tensors, shape, stream); });
}
#endif

}  // namespace

torch::Tensor gate_rows(const RetentionGateImpl& gate, torch::ScalarType dtype) {
  torch::NoGradGuard no_grad;
  constexpr int64_t kMultiple = 8;  // bfloat16 numbers of 16 bytes: rows of a product stay aligned
  const auto wide = [](const torch::Tensor& weight) { return weight.to(wide_of(weight)); };
  const auto rows =
      torch::cat({wide(gate.hidden_weight), wide(gate.skip_weight)}) * kGateInputScale;
  const int64_t missing = (kMultiple - rows.size(0) % kMultiple) % kMultiple;
  return torch::cat({rows, torch::zeros({missing, rows.size(1)}, rows.options())}).to(dtype);
}

GateTail gate_tail(const RetentionGateImpl& gate) {
  const auto tail = [](const torch::Tensor& weight) {
    return weight.detach().to(torch::kFloat32).contiguous();
  };
  return {tail(gate.hidden_bias), tail(gate.out_weight), tail(gate.out_bias)};
}

bool has_gate_kernel(torch::ScalarType dtype, torch::Device device) {
#ifdef LOCOCO_WITH_CUDA
  return dtype == torch::kBFloat16 && device.is_cuda();
#else
  (void)dtype;
  (void)device;
  return false;
#endif
}

torch::Tensor gate_scores_reference(const torch::Tensor& product_BP, const GateTail& tail) {
  torch::NoGradGuard no_grad;
  const auto wide = wide_of(product_BP);
  const auto as = [&](const torch::Tensor& x) { return x.to(wide); };
  const int64_t G = tail.out_weight_GU.size(0), U = tail.out_weight_GU.size(1);
  const auto hidden_BU =
      torch::gelu(as(product_BP.narrow(/*dim=*/1, 0, U)) + as(tail.hidden_bias_U));
  return torch::linear(hidden_BU, as(tail.out_weight_GU), as(tail.out_bias_G)) +
         as(product_BP.narrow(/*dim=*/1, U, G));
}

void note_gate_scores(const torch::Tensor& product_BP, const GateTail& tail,
                      const torch::Tensor& cursor_B2, torch::Tensor score_BGC) {
  torch::NoGradGuard no_grad;
  const int64_t B = product_BP.size(0), G = tail.out_weight_GU.size(0);
  const int64_t U = tail.out_weight_GU.size(1);
  TORCH_CHECK(product_BP.size(1) >= U + G, "want U + G=", U + G, " numbers of a product, got ",
              product_BP.size(1));
  CHECK_SHAPE(cursor_B2, B, 2);
  CHECK_SHAPE(score_BGC, B, G, -1);
#ifdef LOCOCO_WITH_CUDA
  if (has_gate_kernel(product_BP.scalar_type(), product_BP.device()))
    return run_kernel(product_BP, tail, cursor_B2, score_BGC);
#endif
  const auto score_BG = gate_scores_reference(product_BP, tail).to(score_BGC.scalar_type());
  const auto slot_B11 = cursor_B2.select(/*dim=*/1, 0).to(torch::kInt64).view({B, 1, 1});
  score_BGC.scatter_(/*dim=*/2, slot_B11.expand({B, G, 1}), score_BG.unsqueeze(-1));
}

}  // namespace lococo
