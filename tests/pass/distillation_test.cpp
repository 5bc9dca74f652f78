#include "pass/distillation.h"

#include "model/registry.h"
#include "pass/sequence_pass.h"
#include "tensor/kit/torch.h"
#include "tests/support/catch.h"
#include "tests/support/gradcheck.h"
#include "tests/support/tensors.h"
#include "tests/support/tiny_llama.h"

using namespace lococo;
using namespace lococo::testing;

TEST_CASE("the chunked distillation loss is that of all logits at once", "[pass]") {
  const int64_t chunk = GENERATE(1, 3, 7, 100);
  const auto teacher = normal({7, 6}, 2), head = normal({11, 6}, 3);
  auto hidden = normal({7, 6}, 1).requires_grad_(true);
  const auto got = distillation_loss(hidden, teacher, head, chunk);
  const auto want = distillation_loss_reference(hidden, teacher, head);
  CHECK_CLOSE(got, want, /*factor=*/3.0);
  CHECK(want.item<double>() > 0);
  CHECK_CLOSE(torch::autograd::grad({2 * got}, {hidden})[0],
              torch::autograd::grad({2 * want}, {hidden})[0], /*factor=*/3.0);
}

TEST_CASE("the gradient of the distillation loss agrees with differences", "[pass]") {
  const auto teacher = normal({5, 4}, 2, torch::kFloat64),
             head = normal({9, 4}, 3, torch::kFloat64);
  auto hidden = normal({5, 4}, 1, torch::kFloat64).requires_grad_(true);
  CHECK(gradient_error([&] { return distillation_loss(hidden, teacher, head, 2); }, {hidden}) ==
        "");
}

TEST_CASE("a model that predicts what its teacher predicts has no distillation loss", "[pass]") {
  const auto hidden = normal({5, 4}, 1), head = normal({9, 4}, 3);
  CHECK(distillation_loss(hidden, hidden, head, 2).item<double>() == Approx(0.0).margin(1e-5));
}

TEST_CASE("neither teacher nor head is given a gradient by the distillation loss", "[pass]") {
  auto hidden = normal({5, 4}, 1).requires_grad_(true);
  auto teacher = normal({5, 4}, 2).requires_grad_(true),
       head = normal({9, 4}, 3).requires_grad_(true);
  distillation_loss(hidden, teacher, head, 2).backward();
  CHECK(hidden.grad().defined());
  CHECK_FALSE(teacher.grad().defined());
  CHECK_FALSE(head.grad().defined());
}

namespace {

/// Gradients of the convolutions and the loss of one sequence, with that weight of distillation.
struct Taught {
  explicit Taught(double distill, int64_t slots = 8) {
    auto cache = tiny_cache();
    cache.distill = distill;
    cache.slots = slots;
    auto model = tiny_llama(3, cache);
    TuneConfig tune;
    tune.conv = 1.0;
    const ParameterRegistry registry(model, tune, 0.0, torch::kFloat32);
    const auto pass = make_blockwise_pass(cache, /*loss_chunk=*/5);
    loss = pass->train(model, {random_tokens(2, 42, 1)}).loss_sum;
    for (const auto& parameter : registry.trainable()) gradients.push_back(parameter.tensor.grad());
  }
  torch::Tensor loss;
  std::vector<torch::Tensor> gradients;
};

}  // namespace

TEST_CASE("the blockwise pass adds the distillation's gradient in proportion to its weight",
          "[pass]") {
  const Taught none(0.0), some(0.5), twice(1.0);
  CHECK_SAME(some.loss, none.loss);  // the reported loss is that of the targets
  bool moved = false;
  for (size_t i = 0; i < none.gradients.size(); ++i) {
    const auto added = some.gradients[i] - none.gradients[i];
    moved = moved || added.abs().max().item<double>() > 1e-3;
    CHECK_CLOSE(twice.gradients[i] - none.gradients[i], 2 * added, /*factor=*/50.0);
  }
  CHECK(moved);
}
