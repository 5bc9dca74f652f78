#include "tensor/conv/time_conv.h"

#include <ATen/Functions.h>

#include "tensor/kit/torch.h"
#include "tests/support/catch.h"
#include "tests/support/gradcheck.h"
#include "tests/support/tensors.h"

using namespace lococo;
using namespace lococo::testing;

namespace {

/// The definition, tap by tap.
torch::Tensor by_hand(const torch::Tensor& x_XSC, const torch::Tensor& weight_OCK,
                      const torch::Tensor& bias_O) {
  const int64_t S = x_XSC.size(1), K = weight_OCK.size(2), half = (K - 1) / 2;
  const auto padded = at::constant_pad_nd(x_XSC, {0, 0, half, half});
  auto y_XSO = bias_O.expand({x_XSC.size(0), S, bias_O.size(0)});
  for (int64_t t = 0; t < K; ++t)
    y_XSO = y_XSO + torch::matmul(padded.slice(1, t, t + S), weight_OCK.select(2, t).t());
  return y_XSO;
}

struct ConvCase {
  explicit ConvCase(int64_t K, int64_t S = 11)
      : x_XSC(normal({3, S, 6}, 1, torch::kFloat64)),
        weight_OCK(normal({5, 6, K}, 2, torch::kFloat64)),
        bias_O(normal({5}, 3, torch::kFloat64)) {}
  torch::Tensor x_XSC, weight_OCK, bias_O;
};

}  // namespace

TEST_CASE("a convolution over time is a sum over taps, with zeros around", "[tensor]") {
  const int64_t K = GENERATE(1, 3, 7, 31);  // 31: wider than the sequence
  const ConvCase c(K);
  const auto want = by_hand(c.x_XSC, c.weight_OCK, c.bias_O);
  CHECK_CLOSE(time_conv_forward(c.x_XSC, c.weight_OCK, c.bias_O, /*relu=*/false), want);
  const auto rectified = time_conv_forward(c.x_XSC, c.weight_OCK, c.bias_O, /*relu=*/true);
  CHECK(rectified.is_contiguous());
  CHECK_CLOSE(rectified, want.relu());
}

TEST_CASE("the weight gradient of a convolution over time is that of the sum", "[tensor]") {
  const int64_t K = GENERATE(1, 5, 31);
  ConvCase c(K);
  c.weight_OCK.requires_grad_(true);
  const auto dy_XSO = normal({3, 11, 5}, 4, torch::kFloat64);
  const auto want =
      torch::autograd::grad({by_hand(c.x_XSC, c.weight_OCK, c.bias_O)}, {c.weight_OCK}, {dy_XSO});
  const auto dw_OCK = time_conv_weight_gradient(c.x_XSC, dy_XSO, K);
  CHECK_FALSE(dw_OCK.requires_grad());
  CHECK_CLOSE(dw_OCK, want[0]);
}

TEST_CASE("a convolution over time keeps x's dtype, and its weight gradient float32", "[tensor]") {
  const ConvCase c(3);
  const auto x_XSC = c.x_XSC.to(torch::kBFloat16);
  const auto weight_OCK = c.weight_OCK.to(torch::kFloat32), bias_O = c.bias_O.to(torch::kFloat32);
  CHECK_FALSE(time_conv_is_fused(x_XSC, 5, 3));
  const auto y_XSO = time_conv_forward(x_XSC, weight_OCK, bias_O, /*relu=*/false);
  CHECK(y_XSO.scalar_type() == torch::kBFloat16);
  CHECK_FALSE(y_XSO.requires_grad());
  // x, weight and bias are rounded too.
  CHECK_CLOSE(y_XSO, by_hand(c.x_XSC, c.weight_OCK, c.bias_O), /*factor=*/4.0);
  const auto dw_OCK = time_conv_weight_gradient(x_XSC, y_XSO, 3);
  CHECK(dw_OCK.scalar_type() == torch::kFloat32);
  const auto wide =
      time_conv_weight_gradient(x_XSC.to(torch::kFloat64), y_XSO.to(torch::kFloat64), 3);
  CHECK_CLOSE(dw_OCK.to(torch::kBFloat16), wide, /*factor=*/4.0);
}

TEST_CASE("on a CPU no weight is packed, and a packed one is not read", "[tensor]") {
  const auto dtype = GENERATE(torch::kBFloat16, torch::kFloat32, torch::kFloat64);
  const auto x_XSC = normal({3, 11, 64}, 1, dtype), weight_OCK = normal({8, 64, 3}, 2, dtype);
  const auto bias_O = normal({8}, 3, dtype);
  torch::Tensor packed_KOC;
  time_conv_pack(weight_OCK, packed_KOC);
  CHECK_FALSE(packed_KOC.defined());
  packed_KOC = torch::zeros({3, 8, 64}, torch::kBFloat16);
  CHECK_SAME(time_conv_forward(x_XSC, weight_OCK, bias_O, false, packed_KOC),
             time_conv_forward(x_XSC, weight_OCK, bias_O, false));
}

TEST_CASE("a convolution over time refuses what does not fit", "[tensor]") {
  const ConvCase c(3), even(4);
  CHECK_THROWS(time_conv_forward(even.x_XSC, even.weight_OCK, even.bias_O, false));
  CHECK_THROWS(time_conv_forward(c.x_XSC.slice(2, 1), c.weight_OCK, c.bias_O, false));
  CHECK_THROWS(time_conv_forward(c.x_XSC, c.weight_OCK, c.bias_O.slice(0, 1), false));
  CHECK_THROWS(time_conv_weight_gradient(c.x_XSC, c.x_XSC.slice(1, 1), 3));
}

TEST_CASE("a CPU has none of the project's convolutions", "[tensor]") {
  CHECK_FALSE(time_conv_has_kernels(torch::kCPU));
}
