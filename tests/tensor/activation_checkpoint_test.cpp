#include "tensor/activation_checkpoint.h"

#include "tensor/torch.h"
#include "tests/support/catch.h"
#include "tests/support/gradcheck.h"
#include "tests/support/tensors.h"

using namespace lococo;
using namespace lococo::testing;

namespace {

struct Layer {
  torch::Tensor a = normal({6, 4}, 1).requires_grad_(true);
  torch::Tensor b = normal({4, 6}, 2).requires_grad_(true);
  int calls = 0;

  torch::Tensor operator()(const torch::Tensor& x) {
    ++calls;
    return x + torch::mm(torch::silu(torch::mm(x, b)), a);
  }
};

}  // namespace

TEST_CASE("activation checkpointing gives the same output and the same gradients", "[tensor]") {
  const bool input_needs_gradient = GENERATE(true, false);
  Layer layer;
  const auto x = normal({3, 4}, 3).requires_grad_(input_needs_gradient);
  std::vector<torch::Tensor> leaves = {layer.a, layer.b};
  if (input_needs_gradient) leaves.push_back(x);

  const auto plain = layer(x);
  const auto want = torch::autograd::grad({weighted_sum(plain)}, leaves);
  const auto out = activation_checkpoint([&](const torch::Tensor& y) { return layer(y); }, x,
                                         {layer.a, layer.b});
  const auto got = torch::autograd::grad({weighted_sum(out)}, leaves);
  CHECK_SAME(out, plain);
  for (size_t i = 0; i < leaves.size(); ++i) CHECK_SAME(got[i], want[i]);
}

TEST_CASE("a checkpointed layer runs once forwards and once again backwards", "[tensor]") {
  Layer layer;
  const auto x = normal({3, 4}, 3).requires_grad_(true);
  const auto out = activation_checkpoint([&](const torch::Tensor& y) { return layer(y); }, x,
                                         {layer.a, layer.b});
  CHECK(layer.calls == 1);
  out.sum().backward();
  CHECK(layer.calls == 2);
}

TEST_CASE("a chain of checkpointed layers passes gradients through to the first", "[tensor]") {
  Layer first, second;
  const auto x = normal({3, 4}, 3);
  auto run = [&](bool checkpointed) {
    auto hidden = x;
    for (Layer* layer : {&first, &second}) {
      hidden = checkpointed
                   ? activation_checkpoint([layer](const torch::Tensor& y) { return (*layer)(y); },
                                           hidden, {layer->a, layer->b})
                   : (*layer)(hidden);
    }
    return torch::autograd::grad({weighted_sum(hidden)}, {first.a, first.b, second.a, second.b});
  };
  const auto want = run(false), got = run(true);
  for (size_t i = 0; i < want.size(); ++i) CHECK_SAME(got[i], want[i]);
}

TEST_CASE("without a gradient to compute nothing is recorded", "[tensor]") {
  Layer layer;
  const auto x = normal({3, 4}, 3);
  const auto frozen = [&](const torch::Tensor& y) { return layer(y).detach(); };
  CHECK_FALSE(activation_checkpoint(frozen, x, {}).requires_grad());
}
