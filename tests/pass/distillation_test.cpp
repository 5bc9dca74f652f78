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

namespace {

/// Of X rows and V tokens, some of them with a share of truth.
DistilledRows rows_with_truth(int64_t X, int64_t V) {
  DistilledRows rows;
  rows.weights_X = normal({X}, 4).abs();
  rows.targets_X = torch::arange(X, torch::kInt64) * 5 % V;
  rows.truth_X = torch::arange(X, torch::kFloat32) % 3 / 2;
  return rows;
}

}  // namespace

TEST_CASE("the chunked distillation loss is that of all logits at once", "[pass]") {
  const int64_t chunk = GENERATE(1, 3, 7, 100);
  const auto teacher = normal({7, 6}, 2), head = normal({11, 6}, 3);
  auto hidden = normal({7, 6}, 1).requires_grad_(true);
  const auto rows = GENERATE(false, true) ? rows_with_truth(7, 11) : DistilledRows();
  const auto got = distillation_loss(hidden, teacher, head, chunk, rows);
  const auto want = distillation_loss_reference(hidden, teacher, head, rows);
  CHECK_CLOSE(got, want, /*factor=*/3.0);
  CHECK(want.item<double>() > 0);
  CHECK_CLOSE(torch::autograd::grad({2 * got}, {hidden})[0],
              torch::autograd::grad({2 * want}, {hidden})[0], /*factor=*/3.0);
}

TEST_CASE("the gradient of the distillation loss agrees with differences", "[pass]") {
  const auto teacher = normal({5, 4}, 2, torch::kFloat64),
             head = normal({9, 4}, 3, torch::kFloat64);
  auto hidden = normal({5, 4}, 1, torch::kFloat64).requires_grad_(true);
  const auto rows = GENERATE(false, true) ? rows_with_truth(5, 9) : DistilledRows();
  CHECK(gradient_error([&] { return distillation_loss(hidden, teacher, head, 2, rows); },
                       {hidden}) == "");
}

TEST_CASE("a share of truth takes the place of as much of the teacher", "[pass]") {
  const auto hidden = normal({4, 6}, 1), teacher = normal({4, 6}, 2), head = normal({11, 6}, 3);
  DistilledRows rows;
  rows.targets_X = torch::tensor({3, 0, 10, 7});
  const auto loss = [&](double share) {
    rows.truth_X = torch::full({4}, share);
    return distillation_loss(hidden, teacher, head, 3, rows).item<double>();
  };
  const auto known = torch::log_softmax(torch::mm(hidden, head.t()), /*dim=*/-1);
  const double surprise = -known.gather(1, rows.targets_X.unsqueeze(1)).sum().item<double>();
  CHECK(loss(1.0) == Approx(surprise).epsilon(1e-5));
  CHECK(loss(0.0) == Approx(distillation_loss(hidden, teacher, head, 3).item<double>()));
  CHECK(loss(0.25) == Approx(0.25 * loss(1.0) + 0.75 * loss(0.0)));
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
