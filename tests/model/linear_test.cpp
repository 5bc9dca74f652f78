#include "model/linear.h"

#include "tensor/kit/torch.h"
#include "tests/support/catch.h"
#include "tests/support/gradcheck.h"
#include "tests/support/tensors.h"

using namespace lococo;
using namespace lococo::testing;

namespace {

Linear linear_with_lora(bool random_b) {
  const torch::NoGradGuard no_grad;
  Linear linear(6, 4);
  linear->weight.copy_(normal({4, 6}, 1));
  linear->add_lora(/*rank=*/3, /*alpha=*/6.0, /*seed=*/2);
  if (random_b) linear->lora_B->weight.copy_(normal({4, 3}, 3));
  return linear;
}

}  // namespace

TEST_CASE("LoRA with B = 0 is the base", "[model]") {
  const auto linear = linear_with_lora(false);
  const auto x = normal({2, 5, 6}, 4);
  CHECK_SAME(Linear(linear)->forward(x), at::linear(x, linear->weight));
  CHECK_SAME(linear->merged_weight(), linear->weight);
}

TEST_CASE("merged weights compute what base and LoRA compute together", "[model]") {
  auto linear = linear_with_lora(true);
  const auto x = normal({2, 5, 6}, 4);
  const auto merged = linear->merged_weight();
  CHECK_CLOSE(at::linear(x, merged), linear->forward(x), /*factor=*/3.0);  // sums of larger terms
  // alpha / rank = 2
  CHECK_CLOSE(merged,
              linear->weight + 2.0 * torch::mm(linear->lora_B->weight, linear->lora_A->weight));
  CHECK_FALSE(torch::allclose(merged, linear->weight, 1e-2, 1e-2));
  CHECK_FALSE(merged.requires_grad());
}

TEST_CASE("A starts uniform within 1 / sqrt(inputs), differently for every seed", "[model]") {
  Linear linear(64, 4), other(64, 4);
  linear->add_lora(32, 16.0, 1);
  other->add_lora(32, 16.0, 2);
  const auto& a = linear->lora_A->weight;
  CHECK(a.abs().max().item<double>() <= 0.125);
  CHECK(a.std().item<double>() == Approx(0.125 / std::sqrt(3.0)).epsilon(0.05));
  CHECK_FALSE(torch::equal(a, other->lora_A->weight));
  CHECK(linear->lora_B->weight.abs().max().item<double>() == 0.0);
  CHECK(linear->lora_scale() == 0.5);
}

TEST_CASE("LoRA's gradients agree with differences", "[model]") {
  auto linear = linear_with_lora(true);
  linear->to(torch::kFloat64);
  const auto x = normal({3, 6}, 5, torch::kFloat64);
  CHECK(gradient_error([&] { return weighted_sum(linear->forward(x)); },
                       {linear->weight, linear->lora_A->weight, linear->lora_B->weight}) == "");
}

TEST_CASE("float32 master weights are cast to the dtype of the input", "[model]") {
  auto linear = linear_with_lora(true);
  const auto x = normal({3, 6}, 5, torch::kBFloat16);
  const auto y = linear->forward(x);
  CHECK(y.scalar_type() == torch::kBFloat16);
  // Two products and their sum are each rounded to bfloat16.
  CHECK_CLOSE(y.to(torch::kFloat32),
              at::linear(x.to(torch::kFloat32), linear->merged_weight()).to(torch::kBFloat16),
              /*factor=*/2.0);
  y.sum().backward();
  CHECK(linear->lora_A->weight.grad().scalar_type() == torch::kFloat32);
}

TEST_CASE("a layer takes LoRA once", "[model]") {
  auto linear = linear_with_lora(false);
  CHECK_THROWS_AS(linear->add_lora(2, 2.0, 1), c10::Error);
}

TEST_CASE("joined weights are one matrix in the memory of which the layers' weights lie",
          "[model]") {
  const torch::NoGradGuard no_grad;
  std::vector<Linear> layers = {Linear(6, 4), Linear(6, 1), Linear(6, 3)};
  std::vector<torch::Tensor> before;
  for (size_t i = 0; i < layers.size(); ++i) {
    layers[i]->weight.copy_(normal(layers[i]->weight.sizes(), i + 1));
    before.push_back(layers[i]->weight.clone());
  }
  const auto all = join_weights(layers);
  CHECK_SAME(all, torch::cat(before));
  for (size_t i = 0; i < layers.size(); ++i) {
    CHECK_SAME(layers[i]->weight, before[i]);
    CHECK(layers[i]->weight.is_alias_of(all));
    CHECK(layers[i]->weight.requires_grad());
    CHECK(layers[i]->named_parameters()["weight"].is_alias_of(all));
  }
  layers[1]->weight.zero_();
  CHECK(all[4].abs().max().item<float>() == 0);

  // They lie there already.
  const auto again = join_weights(layers);
  CHECK(again.const_data_ptr() == all.const_data_ptr());
  CHECK_SAME(again, all);
  // These do not.
  CHECK_FALSE(join_weights({layers[1], layers[0]}).is_alias_of(all));

  // Rows of no layer are copied behind them, and stand in nobody's way later.
  const auto below = normal({2, 6}, 9);
  const auto longer = join_weights(layers, below);
  CHECK_SAME(longer, torch::cat({before[0], torch::zeros({1, 6}), before[2], below}));
  CHECK(layers[2]->weight.is_alias_of(longer));
  CHECK_FALSE(join_weights(layers, below).is_alias_of(longer));
  const auto without = join_weights(layers);
  CHECK(without.const_data_ptr() == layers[0]->weight.const_data_ptr());
  CHECK_SAME(without, longer.narrow(0, 0, 8));
}
