#include "model/rope.h"

#include "tensor/kit/torch.h"
#include "tests/support/catch.h"
#include "tests/support/tensors.h"

using namespace lococo;
using namespace lococo::testing;

namespace {

ModelShape shape_of(RopeType type, double factor, int64_t head_dim = 8) {
  ModelShape shape;
  shape.head_dim = head_dim;
  shape.max_position_embeddings = 64;
  shape.rope_scaling.type = type;
  shape.rope_scaling.factor = factor;
  return shape;
}

RopeTable table_of(const ModelShape& shape, int64_t begin, int64_t end) {
  return Rope(shape).table(begin, end, torch::kCPU);
}

}  // namespace

TEST_CASE("LongLoRA's worked example: position 3 of four dimensions, factors 1 and 2", "[model]") {
  const auto x = torch::tensor({1.0F, 2.0F, 3.0F, 4.0F}).view({1, 1, 1, 4});
  const auto plain = table_of(shape_of(RopeType::kLinear, 1.0, 4), 3, 4);
  CHECK_CLOSE(apply_rope(x, plain).flatten(),
              torch::tensor({-1.413353, 1.879118, -2.828857, 4.058191}));
  const auto halved = table_of(shape_of(RopeType::kLinear, 2.0, 4), 3, 4);
  CHECK_CLOSE(halved.cos_LD.flatten().narrow(0, 0, 2), torch::tensor({.070737, .999888}));
  CHECK_CLOSE(halved.sin_LD.flatten().narrow(0, 0, 2), torch::tensor({.997495, .014999}));
  CHECK_CLOSE(apply_rope(x, halved).flatten(),
              torch::tensor({-2.921748, 1.939777, 1.209707, 4.029549}));
}

TEST_CASE("a scaling of factor 1 is plain RoPE", "[model]") {
  const auto type =
      GENERATE(RopeType::kLinear, RopeType::kDynamic, RopeType::kYarn, RopeType::kLlama3);
  const auto plain = table_of(shape_of(RopeType::kDefault, 1.0), 0, 64);
  const auto scaled = table_of(shape_of(type, 1.0), 0, 64);
  CHECK_CLOSE(scaled.cos_LD, plain.cos_LD);
  CHECK_CLOSE(scaled.sin_LD, plain.sin_LD);
}

TEST_CASE("linear scaling by F turns position F p as far as plain RoPE turns p", "[model]") {
  const auto plain = table_of(shape_of(RopeType::kDefault, 1.0), 0, 16);
  const auto scaled = table_of(shape_of(RopeType::kLinear, 4.0), 0, 64);
  CHECK_CLOSE(scaled.cos_LD.slice(0, 0, 64, 4), plain.cos_LD);
  CHECK_CLOSE(scaled.sin_LD.slice(0, 0, 64, 4), plain.sin_LD);
}

TEST_CASE("dynamic scaling is plain RoPE to the bit below the pretrained context", "[model]") {
  const double factor = GENERATE(1.1, 2.0, 3.7, 8.0);
  const auto plain = table_of(shape_of(RopeType::kDefault, 1.0), 0, 64);
  const auto scaled = table_of(shape_of(RopeType::kDynamic, factor), 0, 64);
  CHECK(torch::equal(scaled.cos_LD, plain.cos_LD));
  CHECK(torch::equal(scaled.sin_LD, plain.sin_LD));
}

TEST_CASE("dynamic scaling changes nothing up to the pretrained context and slows angles beyond",
          "[model]") {
  const auto shape = shape_of(RopeType::kDynamic, 2.0);
  const auto plain = shape_of(RopeType::kDefault, 1.0);
  const Rope rope(shape);  // one object serves all lengths
  CHECK_CLOSE(rope.table(10, 64, torch::kCPU).cos_LD, table_of(plain, 10, 64).cos_LD);
  const auto longer = rope.table(0, 128, torch::kCPU);
  CHECK_FALSE(torch::allclose(longer.cos_LD, table_of(plain, 0, 128).cos_LD, 1e-3, 1e-3));
  // The base is theta (2 * 128 / 64 - 1)^(D / (D - 2)); the second of D / 2 = 4 frequencies is its
  // -1/4th power.
  const double base = 1e4 * std::pow(3.0, 8.0 / 6.0);
  CHECK(longer.cos_LD[1][1].item<double>() ==
        Approx(std::cos(std::pow(base, -0.25))).epsilon(1e-5));
  CHECK_CLOSE(rope.table(10, 64, torch::kCPU).cos_LD, table_of(plain, 10, 64).cos_LD);
}

TEST_CASE("rotated inner products depend on distances only", "[model]") {
  const auto type = GENERATE(RopeType::kDefault, RopeType::kLinear, RopeType::kLlama3);
  const auto shape = shape_of(type, type == RopeType::kDefault ? 1.0 : 3.0);
  const auto q = normal({1, 1, 1, 8}, 1, torch::kFloat64),
             k = normal({1, 1, 1, 8}, 2, torch::kFloat64);
  auto score = [&](int64_t query, int64_t key) {
    return (apply_rope(q, table_of(shape, query, query + 1)) *
            apply_rope(k, table_of(shape, key, key + 1)))
        .sum();
  };
  // Tables are float32, so scores are good to float32.
  for (const auto& [query, key] : {std::pair{5, 2}, {40, 37}, {63, 60}}) {
    CHECK_CLOSE(score(query, key).to(torch::kFloat32), score(3, 0).to(torch::kFloat32));
  }
  CHECK_FALSE(torch::allclose(score(5, 2), score(5, 3), 1e-3, 1e-3));
}

TEST_CASE("a rotation keeps lengths, and position 0 turns nothing", "[model]") {
  const auto x = normal({2, 3, 20, 8}, 3);
  const auto turned = apply_rope(x, table_of(shape_of(RopeType::kDefault, 1.0), 0, 20));
  CHECK_CLOSE(turned.norm(2, -1), x.norm(2, -1));
  CHECK_SAME(turned.select(2, 0), x.select(2, 0));
}

TEST_CASE("part of a table is the table of that part", "[model]") {
  const Rope rope(shape_of(RopeType::kYarn, 4.0));
  const auto whole = rope.table(0, 40, torch::kCPU), part = rope.table(13, 22, torch::kCPU);
  CHECK_SAME(whole.narrow(13, 9).cos_LD, part.cos_LD);
  CHECK_SAME(whole.narrow(13, 9).sin_LD, part.sin_LD);
}

TEST_CASE("half precision is rotated in float32 and rounded once", "[model]") {
  const auto x = normal({1, 2, 9, 8}, 4, torch::kBFloat16);
  const auto table = table_of(shape_of(RopeType::kDefault, 1.0), 0, 9);
  CHECK_SAME(apply_rope(x, table), apply_rope(x.to(torch::kFloat32), table).to(torch::kBFloat16));
}
