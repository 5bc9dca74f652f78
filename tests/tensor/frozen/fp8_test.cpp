#include "tensor/frozen/fp8.h"

#include <array>
#include <cmath>
#include <limits>
#include <vector>

#include "tensor/kit/torch.h"
#include "tests/support/catch.h"
#include "tests/support/tensors.h"

using namespace lococo;
using namespace lococo::testing;

namespace {

/// The e4m3 number that is nearest to `value`, |value| <= 448; of two equally near the one with an
/// even mantissa.
double nearest_e4m3(double value) {
  const int exponent = std::max(std::ilogb(value), -6);  // below 2^-6 the steps stay as they are
  const double step = std::ldexp(1.0, exponent - 3);
  return std::nearbyint(value / step) * step;
}

}  // namespace

TEST_CASE("FP8 of values worked out by hand", "[tensor]") {
  const auto x = torch::tensor({{448.0F, 1.0F, -1.07F, 17.0F, 0.0F, 0.002F, 1e-5F, -300.0F},
                                {0.5F, 0.25F, -0.125F, 0.0F, 0.0F, 0.0F, 0.0F, 0.0F}});
  const auto rows = fp8_rows(x);
  CHECK(rows.codes_XE.scalar_type() == torch::kFloat8_e4m3fn);
  CHECK(rows.scale_X[0].item<float>() == 1.0F);
  CHECK(rows.scale_X[1].item<float>() == 0.5F / 448.0F);
  const std::vector<float> want = {448.0F, 1.0F, -1.125F, 16.0F, 0.0F, 0x1p-9F, 0.0F, -288.0F};
  const auto got = rows.codes_XE[0].to(torch::kFloat32);
  for (size_t i = 0; i < want.size(); ++i)
    CHECK(got[static_cast<int64_t>(i)].item<float>() == want[i]);
  CHECK(rows.codes_XE[1][1].item<float>() == 224.0F);
}

TEST_CASE("each value becomes the nearest e4m3 in parts of its row's largest", "[tensor]") {
  const auto dtype = GENERATE(torch::kFloat32, torch::kBFloat16, torch::kFloat16);
  const auto sizes = GENERATE(std::vector<int64_t>{3, 7}, std::vector<int64_t>{5, 64},
                              std::vector<int64_t>{33, 50});
  const bool with_factor = GENERATE(false, true);
  const auto x = normal(sizes, 1, dtype) * 0.02;
  const auto factor = with_factor ? normal({sizes[1]}, 2).abs() : torch::Tensor();
  const auto rows = fp8_rows(x, factor);
  auto values = x.to(torch::kFloat32);
  if (with_factor) values = values * factor;
  int64_t wrong = 0;
  for (int64_t row = 0; row < sizes[0]; ++row) {
    const auto scale = rows.scale_X[row].item<float>();
    CHECK(scale * 448.0F == Approx(values[row].abs().max().item<float>()));
    for (int64_t i = 0; i < sizes[1]; ++i) {
      const float part = values[row][i].item<float>() * (1.0F / scale);
      wrong += rows.codes_XE[row][i].item<float>() == nearest_e4m3(part) ? 0 : 1;
    }
  }
  CHECK(wrong == 0);
  CHECK(relative_error(fp8_dequantise(rows, torch::kFloat32), values) < 0.03);
}

TEST_CASE("values of e4m3 survive FP8 as they are", "[tensor]") {
  // All finite codes, whose largest is 448.
  auto codes = torch::arange(256, torch::kInt32).to(torch::kUInt8);
  codes = codes.index({codes.bitwise_and(0x7f) != 0x7f});
  const auto values = codes.view(torch::kFloat8_e4m3fn).to(torch::kFloat32).view({2, 127});
  const auto rows = fp8_rows(values);
  CHECK_SAME(fp8_dequantise(rows, torch::kFloat32), values);
  CHECK_SAME(fp8_dequantise(fp8_rows(values * 0.125), torch::kFloat32), values * 0.125);
}

TEST_CASE("FP8 is rounded once to the dtype asked for", "[tensor]") {
  const auto rows = fp8_rows(normal({70, 90}, 1));
  const auto wide = fp8_dequantise(rows, torch::kFloat32);
  CHECK_SAME(fp8_dequantise(rows, torch::kBFloat16), wide.to(torch::kBFloat16));
  CHECK_SAME(fp8_dequantise(rows, torch::kFloat64), wide.to(torch::kFloat64));
}

TEST_CASE("zeros stay zeros in FP8, and what is not finite does not pass as finite", "[tensor]") {
  auto x = normal({3, 16}, 1);
  x[0].zero_();
  x[1][3] = std::numeric_limits<float>::infinity();
  x[2][4] = std::numeric_limits<float>::quiet_NaN();
  const auto rows = fp8_rows(x);
  CHECK(fp8_dequantise(rows, torch::kFloat32)[0].abs().max().item<float>() == 0.0F);
  const auto y =
      fp8_product_reference(rows, fp8_quantise(normal({4, 16}, 2), false), torch::kFloat32);
  CHECK(y[0].abs().max().item<float>() == 0.0F);
  CHECK(y[1].isnan().all().item<bool>());
  CHECK(y[2].isnan().all().item<bool>());
}

TEST_CASE("the codes of gradients are the codes of the matrix in the other order", "[tensor]") {
  const auto w = normal({37, 50}, 1);
  const auto matrix = fp8_quantise(w, /*gradients=*/true);
  CHECK(matrix.codes_EO.is_contiguous());
  CHECK_SAME(matrix.codes_EO.to(torch::kFloat32).t(), matrix.rows_OE.codes_XE.to(torch::kFloat32));
  const auto held = matrix.codes_EO.nbytes() + matrix.ones_E.nbytes() +
                    matrix.rows_OE.codes_XE.nbytes() + matrix.rows_OE.scale_X.nbytes();
  CHECK(static_cast<int64_t>(held) == fp8_bytes(37, 50, true));
  CHECK(fp8_bytes(37, 50, true) == fp8_bytes(37, 50, false) + 37 * 50 + 4 * 50);
  CHECK_FALSE(fp8_quantise(w, /*gradients=*/false).codes_EO.defined());
}

TEST_CASE("products in FP8 are those of the values within its rounding", "[tensor]") {
  const auto dtype = GENERATE(torch::kFloat32, torch::kBFloat16);
  const auto w = normal({48, 160}, 1), x = normal({21, 160}, 2, dtype);
  const auto dy = normal({21, 48}, 3, dtype);
  const auto matrix = fp8_quantise(w, /*gradients=*/true);
  const auto y = fp8_product_reference(fp8_rows(x), matrix, dtype);
  CHECK(y.scalar_type() == dtype);
  // 0.0375 of a product of normal values, of which each side gives 0.0265.
  CHECK(relative_error(y, torch::mm(x.to(torch::kFloat32), w.t())) < 0.045);
  const auto scaled = fp8_rows(dy, matrix.rows_OE.scale_X);
  const auto dx = fp8_input_gradient_reference(scaled, matrix, dtype);
  CHECK(relative_error(dx, torch::mm(dy.to(torch::kFloat32), w)) < 0.045);
  // Of the matrix itself the gradient has no error that forward has not.
  const auto dense = fp8_dequantise(matrix.rows_OE, torch::kFloat32);
  CHECK(relative_error(dx, torch::mm(dy.to(torch::kFloat32), dense)) < 0.033);
}

TEST_CASE("a CPU has no fast products of 8-bit numbers", "[tensor]") {
  CHECK_FALSE(fp8_multiplies_on(torch::kCPU));
  CHECK_FALSE(fp8_takes(normal({16, 16}, 1, torch::kBFloat16), 16, 16));
}
