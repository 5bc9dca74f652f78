#include "tensor/frozen/nf4.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

#include "tensor/kit/torch.h"
#include "tests/support/catch.h"
#include "tests/support/tensors.h"

using namespace lococo;
using namespace lococo::testing;

namespace {

constexpr std::array<double, 16> kTable = {
    -1.0,       -0.69619280, -0.52507305, -0.39491749, -0.28444138, -0.18477343, -0.09105004, 0.0,
    0.07958030, 0.16093020,  0.24611230,  0.33791524,  0.44070983,  0.56261700,  0.72295684,  1.0};

/// The place of the value of the table that is nearest.
int64_t nearest_place(double part) {
  const auto nearer = [&](double a, double b) { return std::abs(a - part) < std::abs(b - part); };
  return std::min_element(kTable.begin(), kTable.end(), nearer) - kTable.begin();
}

int64_t code_at(const Nf4Matrix& matrix, int64_t i) {
  const auto byte = matrix.codes_P[i / 2].item<int64_t>();
  return i % 2 == 0 ? byte / 16 : byte % 16;
}

}  // namespace

TEST_CASE("NF4 of values worked out by hand", "[tensor]") {
  // One block of 64 in parts of its largest magnitude, 2.
  auto values = torch::zeros({2, 32});
  values[0][0] = -2.0;
  values[0][1] = 1.0;
  values[0][2] = 0.16;    // 0.08: the first value above zero
  values[1][31] = -1.05;  // -0.525
  const auto matrix = nf4_quantise(values);
  REQUIRE(matrix.codes_P.numel() == 32);
  CHECK(matrix.codes_P[0].item<int64_t>() == 0 * 16 + 12);  // 0.5 lies nearest to 0.4407
  CHECK(matrix.codes_P[1].item<int64_t>() == 8 * 16 + 7);
  CHECK(matrix.codes_P[2].item<int64_t>() == 7 * 16 + 7);
  CHECK(matrix.codes_P[31].item<int64_t>() == 7 * 16 + 2);
  // The mean of a single scale is the scale, and nothing is left for 8 bits.
  CHECK(matrix.offset.item<float>() == 2.0F);
  CHECK(matrix.group_scales_T[0].item<float>() == 0.0F);
  const auto back = nf4_dequantise(matrix, torch::kFloat32);
  CHECK(back.sizes() == values.sizes());
  CHECK(back[0][0].item<float>() == -2.0F);
  CHECK(back[0][1].item<float>() == 2.0F * 0.44070982933044434F);
  CHECK(back[0][2].item<float>() == 2.0F * 0.07958029955625534F);
  CHECK(back[1][31].item<float>() == 2.0F * -0.5250730514526367F);
  CHECK(back[1][0].item<float>() == 0.0F);
}

TEST_CASE("each value becomes the nearest of the table, whatever the sizes", "[tensor]") {
  const auto dtype = GENERATE(torch::kFloat32, torch::kBFloat16, torch::kFloat16);
  const auto sizes = GENERATE(std::vector<int64_t>{3, 7}, std::vector<int64_t>{5, 64},
                              std::vector<int64_t>{9, 50}, std::vector<int64_t>{130, 257});
  const auto values = normal(sizes, 1, dtype) * 0.02;
  const auto matrix = nf4_quantise(values);
  const auto flat = values.to(torch::kFloat64).flatten();
  const auto back = nf4_dequantise(matrix, torch::kFloat32);
  const auto scales = nf4_scales(matrix);
  const auto back_flat = back.flatten();
  REQUIRE(back.sizes() == values.sizes());
  int64_t wrong = 0, different = 0;
  double worst_scale = 0.0;
  for (int64_t i = 0; i < flat.numel(); i += 1 + flat.numel() / 1000) {
    const int64_t begin = i / 64 * 64;
    const auto block = flat.narrow(0, begin, std::min<int64_t>(64, flat.numel() - begin));
    const double largest = block.abs().max().item<double>();
    const int64_t code = code_at(matrix, i);
    wrong += nearest_place(flat[i].item<double>() / largest) == code ? 0 : 1;
    const auto scale = scales[i / 64].item<float>();
    worst_scale = std::max(worst_scale, std::abs(scale / largest - 1.0));
    const auto want = static_cast<double>(scale) * kTable[static_cast<size_t>(code)];
    different += std::abs(back_flat[i].item<double>() - want) <= 1e-6 * largest ? 0 : 1;
  }
  CHECK(wrong == 0);
  CHECK(different == 0);
  CHECK(worst_scale < 0.01);  // 8 bits for what the scales differ from their mean
}

TEST_CASE("values of the table survive NF4 as they are", "[tensor]") {
  // Every block has the same scale, so that the second quantisation loses nothing.
  std::vector<float> table;
  for (int i = 0; i < 64; ++i) table.push_back(static_cast<float>(kTable[size_t(i * 7 % 16)]));
  const auto block = torch::tensor(table);
  const auto first = nf4_dequantise(nf4_quantise(block.repeat({4, 5})), torch::kFloat32);
  CHECK_CLOSE(first, block.repeat({4, 5}));
  CHECK_SAME(nf4_dequantise(nf4_quantise(first), torch::kFloat32), first);
}

TEST_CASE("NF4 is rounded once to the dtype asked for", "[tensor]") {
  const auto matrix = nf4_quantise(normal({70, 90}, 1));
  const auto wide = nf4_dequantise(matrix, torch::kFloat32);
  CHECK_SAME(nf4_dequantise(matrix, torch::kBFloat16), wide.to(torch::kBFloat16));
  CHECK_SAME(nf4_dequantise(matrix, torch::kFloat64), wide.to(torch::kFloat64));
}

TEST_CASE("zeros stay zeros in NF4", "[tensor]") {
  auto values = normal({4, 64}, 1);
  values[2].zero_();
  const auto back = nf4_dequantise(nf4_quantise(values), torch::kFloat32);
  CHECK(back[2].abs().max().item<double>() == 0.0);
  CHECK(nf4_dequantise(nf4_quantise(torch::zeros({2, 5})), torch::kFloat32)
            .abs()
            .sum()
            .item<double>() == 0.0);
}

TEST_CASE("NF4 takes a little more than 4 bits an element", "[tensor]") {
  const std::vector<int64_t> sizes = GENERATE(
      std::vector<int64_t>{3, 7}, std::vector<int64_t>{512, 96}, std::vector<int64_t>{2100, 1024});
  const auto matrix = nf4_quantise(normal(sizes, 1));
  const size_t held = matrix.codes_P.nbytes() + matrix.scale_codes_S.nbytes() +
                      matrix.group_scales_T.nbytes() + matrix.offset.nbytes();
  CHECK(static_cast<int64_t>(held) == nf4_bytes(matrix.elements()));
  CHECK(nf4_bytes(int64_t{4096} * 4096) == 4096 * 4096 / 2 + 262144 + 4 * 1024 + 4);
}
