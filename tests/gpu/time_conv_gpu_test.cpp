// The convolution's kernels against the library's convolution in float64.
#include "tensor/conv/time_conv.h"
#include "tensor/kit/torch.h"
#include "tests/support/catch.h"
#include "tests/support/gpu.h"
#include "tests/support/tensors.h"

using namespace lococo;
using namespace lococo::testing;

namespace {

struct ConvShape {
  int64_t X, S, C, O, K;
};

/// Every tile the kernels have; rows and outputs that do not fill one; fewer rows than taps.
const std::vector<ConvShape>& conv_shapes() {
  static const std::vector<ConvShape> list = {
      {4, 768, 256, 256, 21}, {3, 101, 64, 40, 7},   {5, 224, 128, 32, 21}, {2, 769, 192, 264, 31},
      {6, 384, 128, 256, 21}, {1, 5, 64, 8, 3},      {2, 130, 256, 128, 1}, {2, 193, 128, 136, 5},
      {3, 192, 512, 64, 3},   {2, 300, 64, 256, 63}, {40, 64, 256, 8, 9},   {1, 1, 64, 16, 5},
      {2, 130, 64, 32, 1},    {3, 65, 320, 24, 1},   {2, 193, 320, 256, 1}, {3, 200, 256, 256, 3},
      {2, 450, 192, 128, 3}};
  return list;
}

struct Inputs {
  explicit Inputs(const ConvShape& s)
      : x_XSC(on_gpu({s.X, s.S, s.C}, 1, torch::kBFloat16)),
        dy_XSO(on_gpu({s.X, s.S, s.O}, 2, torch::kBFloat16)),
        weight_OCK(on_gpu({s.O, s.C, s.K}, 3, torch::kFloat32)),
        bias_O(on_gpu({s.O}, 4, torch::kFloat32)) {}
  torch::Tensor x_XSC, dy_XSO, weight_OCK, bias_O;
};

torch::Tensor exact_forward(const Inputs& in, bool relu) {
  const auto rounded = in.weight_OCK.to(torch::kBFloat16).to(torch::kFloat64);
  return time_conv_forward(in.x_XSC.to(torch::kFloat64), rounded, in.bias_O.to(torch::kFloat64),
                           relu);
}

torch::Tensor exact_weight_gradient(const Inputs& in, int64_t K) {
  return time_conv_weight_gradient(in.x_XSC.to(torch::kFloat64), in.dy_XSO.to(torch::kFloat64), K);
}

/// |got - want| / |want|: sums of thousands of terms of both signs have no useful bound each.
bool is_fused(const Inputs& in) {
  return time_conv_is_fused(in.x_XSC, in.weight_OCK.size(0), in.weight_OCK.size(2));
}

}  // namespace

TEST_CASE("the convolution's kernels agree with the library's in float64", "[gpu]") {
  require_cuda();
  for (const auto& s : conv_shapes()) {
    INFO("X=" << s.X << " S=" << s.S << " C=" << s.C << " O=" << s.O << " K=" << s.K);
    const Inputs in(s);
    if (!is_fused(in)) SKIP("this device has no kernels of the project's for a convolution");
    for (const bool relu : {false, true}) {
      const auto y_XSO = time_conv_forward(in.x_XSC, in.weight_OCK, in.bias_O, relu);
      CHECK(y_XSO.scalar_type() == torch::kBFloat16);
      CHECK(relative_error(y_XSO, exact_forward(in, relu)) < 4e-3);  // one rounding to bfloat16
    }
    const auto dw_OCK = time_conv_weight_gradient(in.x_XSC, in.dy_XSO, s.K);
    CHECK(dw_OCK.scalar_type() == torch::kFloat32);
    CHECK(relative_error(dw_OCK, exact_weight_gradient(in, s.K)) < 1e-5);
    for (int i = 0; i < 3; ++i)
      CHECK_SAME(time_conv_weight_gradient(in.x_XSC, in.dy_XSO, s.K), dw_OCK);
  }
}

TEST_CASE("the convolution's kernels take strided and unaligned inputs", "[gpu]") {
  require_cuda();
  const Inputs in({3, 100, 128, 64, 7});
  const auto strided = [](const torch::Tensor& t) {
    return t.transpose(1, 2).contiguous().transpose(1, 2);
  };
  const auto unaligned = [](const torch::Tensor& t) {
    const auto memory = torch::empty({t.numel() + 1}, t.options());
    return memory.slice(0, 1).view(t.sizes()).copy_(t);
  };
  const auto y_XSO = time_conv_forward(in.x_XSC, in.weight_OCK, in.bias_O, /*relu=*/false);
  const auto dw_OCK = time_conv_weight_gradient(in.x_XSC, in.dy_XSO, 7);
  CHECK_SAME(time_conv_forward(strided(in.x_XSC), in.weight_OCK, in.bias_O, false), y_XSO);
  CHECK_SAME(time_conv_forward(unaligned(in.x_XSC), in.weight_OCK, in.bias_O, false), y_XSO);
  CHECK_SAME(time_conv_weight_gradient(strided(in.x_XSC), strided(in.dy_XSO), 7), dw_OCK);
  CHECK_SAME(time_conv_weight_gradient(unaligned(in.x_XSC), unaligned(in.dy_XSO), 7), dw_OCK);
}

TEST_CASE("a weight that was packed before convolves with the same bits", "[gpu]") {
  require_cuda();
  for (const auto& s : conv_shapes()) {
    INFO("X=" << s.X << " S=" << s.S << " C=" << s.C << " O=" << s.O << " K=" << s.K);
    const Inputs in(s);
    if (!is_fused(in)) SKIP("this device has no kernels of the project's for a convolution");
    torch::Tensor packed_KOC;
    auto check_same = [&] {
      const auto want = time_conv_forward(in.x_XSC, in.weight_OCK, in.bias_O, /*relu=*/false);
      CHECK_SAME(time_conv_forward(in.x_XSC, in.weight_OCK, in.bias_O, false, packed_KOC), want);
    };
    time_conv_pack(in.weight_OCK, packed_KOC);
    REQUIRE(packed_KOC.defined());
    CHECK_SAME(packed_KOC, in.weight_OCK.to(torch::kBFloat16).permute({2, 0, 1}));
    check_same();
    // The next weight goes where recorded work looks for it.
    const void* address = packed_KOC.const_data_ptr();
    in.weight_OCK.neg_();
    const auto stale = time_conv_forward(in.x_XSC, in.weight_OCK, in.bias_O, false, packed_KOC);
    CHECK_SAME(stale, time_conv_forward(in.x_XSC, -in.weight_OCK, in.bias_O, false));
    time_conv_pack(in.weight_OCK, packed_KOC);
    CHECK(packed_KOC.const_data_ptr() == address);
    check_same();
    // As a model that is not trained has it.
    time_conv_pack(in.weight_OCK.to(torch::kBFloat16), packed_KOC);
    check_same();
  }
}

TEST_CASE("a packed weight of another kind is refused", "[gpu]") {
  require_cuda();
  const Inputs in({3, 100, 64, 64, 7});
  if (!is_fused(in)) SKIP("this device has no kernels of the project's for a convolution");
  auto forward = [&](const torch::Tensor& packed_KOC) {
    return time_conv_forward(in.x_XSC, in.weight_OCK, in.bias_O, false, packed_KOC);
  };
  const auto zeros = torch::zeros({7, 64, 64}, in.x_XSC.options());
  CHECK_THROWS_AS(forward(zeros.narrow(0, 0, 5)), c10::Error);
  CHECK_THROWS_AS(forward(zeros.transpose(1, 2)), c10::Error);
  CHECK_THROWS_AS(forward(zeros.to(torch::kFloat32)), c10::Error);
  CHECK_THROWS_AS(forward(zeros.cpu()), c10::Error);
  auto other = zeros.narrow(0, 0, 5).clone();
  CHECK_THROWS_AS(time_conv_pack(in.weight_OCK, other), c10::Error);
}

TEST_CASE("a convolution that no kernel fits runs in the library on a GPU", "[gpu]") {
  require_cuda();
  const ConvShape s = GENERATE(ConvShape{3, 100, 20, 64, 7}, ConvShape{3, 100, 64, 20, 7});
  const Inputs in(s);
  CHECK_FALSE(is_fused(in));
  CHECK_FALSE(time_conv_is_fused(in.x_XSC.to(torch::kFloat32), 64, 7));
  const auto y_XSO = time_conv_forward(in.x_XSC, in.weight_OCK, in.bias_O, /*relu=*/true);
  CHECK(relative_error(y_XSO, exact_forward(in, true)) < 1e-2);
  const auto dw_OCK = time_conv_weight_gradient(in.x_XSC, in.dy_XSO, s.K);
  CHECK(relative_error(dw_OCK, exact_weight_gradient(in, s.K)) < 1e-2);
  torch::Tensor packed_KOC;
  time_conv_pack(in.weight_OCK, packed_KOC);
  CHECK_FALSE(packed_KOC.defined());
}
