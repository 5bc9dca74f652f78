// Gradients through several blocks on a GPU, where the first compression of a window may be the
// kernels' and the others are the reference, against the CPU.
#include "model/registry.h"
#include "pass/bptt_windows.h"
#include "tensor/kit/torch.h"
#include "tests/support/catch.h"
#include "tests/support/gpu.h"
#include "tests/support/tensors.h"
#include "tests/support/tiny_llama.h"

using namespace lococo;
using namespace lococo::testing;

namespace {

CacheConfig gpu_cache(CachePolicyKind policy, int64_t window) {
  auto cache = tiny_cache();
  cache.policy = policy;
  cache.slots = cache.block = 16;
  cache.init = ConvInit::kFanIn;
  cache.bptt_blocks = window;
  return cache;
}

struct TrainedThrough {
  PassResult result;
  TensorMap gradients;
};

TrainedThrough train_on(torch::Device device, torch::ScalarType dtype, const CacheConfig& cache,
                        bool through_pass = false) {
  auto model = tiny_llama(3, cache, kernel_shape());
  model->to(device);
  model->set_compute_dtype(dtype);
  TuneConfig tune;
  tune.conv = tune.all = 1.0;
  const ParameterRegistry registry(model, tune, 0.0, dtype);
  const auto tokens = random_tokens(2, 16 * 6 + 1, 1).to(device);
  TrainedThrough trained;
  trained.result = through_pass ? make_blockwise_pass(cache, 64, false)->train(model, {tokens})
                                : train_in_windows(model, {tokens}, cache, 64);
  for (const auto& parameter : registry.trainable())
    trained.gradients[parameter.name] = parameter.tensor.grad().cpu();
  return trained;
}

double cosine(const torch::Tensor& a, const torch::Tensor& b) {
  return ((a * b).sum() / (a.norm() * b.norm())).item<double>();
}

}  // namespace

TEST_CASE("gradients through several blocks in float32 on a GPU are those of the CPU", "[gpu]") {
  require_cuda();
  for (const auto keys : {KeyKind::kRotated, KeyKind::kUnrotated}) {
    auto cache = gpu_cache(CachePolicyKind::kLococo, /*window=*/4);
    cache.keys = keys;
    const auto want = train_on(torch::kCPU, torch::kFloat32, cache);
    const auto got = train_on(kGpu, torch::kFloat32, cache);
    CHECK_CLOSE(got.result.loss_sum, want.result.loss_sum, /*factor=*/50.0);
    for (const auto& [name, gradient] : want.gradients) {
      if (name.ends_with(".bias")) continue;  // nearly all of it cancels out
      INFO(name);
      CHECK(cosine(got.gradients.at(name), gradient) > 0.9999);
    }
  }
}

TEST_CASE("gradients through several blocks in bfloat16 on a GPU are near float32", "[gpu]") {
  require_cuda();
  for (const auto policy :
       {CachePolicyKind::kStreaming, CachePolicyKind::kH2o, CachePolicyKind::kLococo}) {
    const auto cache = gpu_cache(policy, /*window=*/3);
    const auto want = train_on(torch::kCPU, torch::kFloat32, cache);
    const auto got = train_on(kGpu, torch::kBFloat16, cache);
    for (const auto& [name, gradient] : want.gradients) {
      if (name.ends_with(".bias")) continue;
      INFO(name);
      CHECK(cosine(got.gradients.at(name), gradient) > 0.9);
    }
  }
}

TEST_CASE("windows of one block on a GPU have the gradients of the blockwise pass", "[gpu]") {
  require_cuda();
  const auto cache = gpu_cache(CachePolicyKind::kLococo, /*window=*/1);
  const auto windows = train_on(kGpu, torch::kBFloat16, cache);
  const auto blocks = train_on(kGpu, torch::kBFloat16, cache, /*through_pass=*/true);
  CHECK_CLOSE(windows.result.loss_sum, blocks.result.loss_sum);
  for (const auto& [name, gradient] : blocks.gradients) {
    if (name.ends_with(".bias")) continue;
    INFO(name);
    CHECK(cosine(windows.gradients.at(name), gradient) > 0.999);
  }
}
