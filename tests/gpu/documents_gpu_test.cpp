// Several documents in a row, on a GPU.
#include "model/registry.h"
#include "pass/sequence_pass.h"
#include "tensor/kit/torch.h"
#include "tests/support/catch.h"
#include "tests/support/gpu.h"
#include "tests/support/tensors.h"
#include "tests/support/tiny_llama.h"

using namespace lococo;
using namespace lococo::testing;

namespace {

/// Two rows of two and three documents, each from a multiple of 64 on; half of the targets count.
Batch packed() {
  const auto documents = std::make_shared<const Documents>(
      Documents{{{{0, 128}, {128, 320}}, {{0, 64}, {64, 128}, {192, 320}}}});
  const auto kinds_BT = (random_tokens(2, 320, 2) % 2 * 3).to(torch::kUInt8);
  return {random_tokens(2, 321, 1).to(kGpu), kinds_BT.to(kGpu), documents};
}

struct Outcome {
  PassResult result;
  TensorMap gradients;
};

Outcome train(SequencePass& pass, const CacheConfig& cache, torch::ScalarType dtype) {
  auto model = tiny_llama(3, cache, kernel_shape());
  model->to(kGpu);
  model->set_compute_dtype(dtype);
  const ParameterRegistry registry(model, tune_all_parts(), 0.0, dtype);
  for (const auto& parameter : registry.trainable())
    parameter.tensor.mutable_grad() = torch::zeros_like(parameter.tensor);
  Outcome outcome;
  for (int i = 0; i < 3; ++i) {  // recorded, replayed
    for (const auto& parameter : registry.trainable()) parameter.tensor.mutable_grad().zero_();
    outcome.result = pass.train(model, packed());
  }
  for (const auto& parameter : registry.trainable())
    outcome.gradients[parameter.name] = parameter.tensor.grad().clone();
  return outcome;
}

}  // namespace

TEST_CASE("a recorded pass over documents computes what an unrecorded one does", "[gpu]") {
  require_cuda();
  auto cache = tiny_cache();
  cache.slots = cache.block = 64;
  cache.boundary_targets = true;
  cache.init = ConvInit::kFanIn;
  const auto recorded = make_blockwise_pass(cache, 256, /*cuda_graphs=*/true, true);
  const auto plain = make_blockwise_pass(cache, 256, /*cuda_graphs=*/false, true);
  const auto got = train(*recorded, cache, torch::kBFloat16);
  const auto want = train(*plain, cache, torch::kBFloat16);
  CHECK(got.result.targets == want.result.targets);
  CHECK(relative_error(got.result.loss_sum, want.result.loss_sum) < 1e-3);
  for (const auto& [name, gradient] : want.gradients) {
    INFO(name);
    // What is left of a bias' gradient behind the softmax over time is rounding.
    if (name.ends_with(".bias")) continue;
    CHECK(relative_error(got.gradients.at(name), gradient) < 2e-2);
  }
}

TEST_CASE("whole sequences of documents train in bfloat16 as in float32", "[gpu]") {
  require_cuda();
  const auto pass = make_full_sequence_pass(256, /*checkpoint_layers=*/true, true);
  const auto half = train(*pass, {}, torch::kBFloat16), whole = train(*pass, {}, torch::kFloat32);
  CHECK(half.result.targets == whole.result.targets);
  CHECK(relative_error(half.result.loss_sum, whole.result.loss_sum) < 1e-2);
}
