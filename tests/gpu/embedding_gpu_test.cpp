// The GPU's embedding against torch's, and where its gradient goes.

#include "tensor/kit/repeated_work.h"
#include "tensor/kit/torch.h"
#include "tensor/layers/embedding.h"
#include "tests/support/catch.h"
#include "tests/support/gpu.h"
#include "tests/support/gradcheck.h"
#include "tests/support/tensors.h"

using namespace lococo;
using namespace lococo::testing;

namespace {

constexpr int64_t kVocabulary = 50;

/// Few tokens, so most repeat; the last row of the weight is never looked up.
torch::Tensor some_tokens(int64_t B, int64_t L) {
  auto tokens = torch::arange(B * L, torch::kInt64);
  tokens = (tokens * tokens * 31 + tokens) % (kVocabulary - 1);
  if (B * L > 4) tokens.narrow(0, 1, B * L / 4).fill_(3);  // more than one thread's batch of rows
  return tokens.view({B, L});
}

torch::Tensor weight_on(torch::Device device, int64_t E) {
  return normal({kVocabulary, E}, 1).to(device).requires_grad_(true);
}

}  // namespace

TEST_CASE("the embedding on a GPU looks up and rounds as torch does", "[gpu]") {
  require_cuda();
  const int64_t E = GENERATE(64, 24, 7);
  const auto dtype = GENERATE(torch::kBFloat16, torch::kFloat32);
  const auto weight = weight_on(torch::kCUDA, E);
  const auto tokens = some_tokens(2, 37).to(torch::kCUDA);
  auto same = [&](const torch::Tensor& w, const torch::Tensor& t) {
    CHECK_SAME(embedding(w, t, dtype), torch::embedding(w, t).to(dtype));
  };
  same(weight, tokens);
  same(weight, tokens.t());
  same(weight, tokens.narrow(/*dim=*/1, 3, 1));
  same(weight, tokens.narrow(/*dim=*/1, 3, 0));
  same(weight.detach(), tokens);
  same(weight.detach().to(torch::kBFloat16), tokens);
  CHECK_FALSE(embedding(weight.detach(), tokens, dtype).requires_grad());
  CHECK(embedding(weight, tokens, dtype).requires_grad());
}

TEST_CASE("the gradient of the embedding on a GPU is the dense one", "[gpu]") {
  require_cuda();
  const int64_t E = GENERATE(64, 2056, 7);
  const auto dtype = GENERATE(torch::kBFloat16, torch::kFloat32);
  const auto [B, L] = GENERATE(std::pair{1, 1}, std::pair{1, 5}, std::pair{3, 41},
                               std::pair{2, 512}, std::pair{5, 411});
  INFO(dtype << " E=" << E << " B=" << B << " L=" << L);
  const auto tokens = some_tokens(B, L);
  const auto on_cpu = weight_on(torch::kCPU, E), on_gpu = weight_on(torch::kCUDA, E);
  auto backward = [&](const torch::Tensor& weight, uint64_t seed) {
    weighted_sum(embedding(weight, tokens.to(weight.device()), dtype), seed).backward();
  };
  backward(on_cpu, 1);
  backward(on_gpu, 1);  // no gradient to add to: dense
  // Hundreds of float32 terms in another order.
  CHECK_CLOSE(on_gpu.grad(), on_cpu.grad(), /*factor=*/20.0);
  CHECK(on_gpu.grad()[kVocabulary - 1].abs().max().item<float>() == 0.0F);

  const void* memory = on_gpu.grad().const_data_ptr();
  backward(on_cpu, 2);
  backward(on_gpu, 2);  // straight into it
  CHECK(on_gpu.grad().const_data_ptr() == memory);
  CHECK_CLOSE(on_gpu.grad(), on_cpu.grad(), /*factor=*/20.0);
  CHECK(on_gpu.grad()[kVocabulary - 1].abs().max().item<float>() == 0.0F);
}

TEST_CASE("the gradient of the embedding on a GPU has the same bits every time", "[gpu]") {
  require_cuda();
  const auto tokens = some_tokens(4, 512).to(torch::kCUDA);
  auto gradient = [&] {
    const auto weight = weight_on(torch::kCUDA, 256);
    for (uint64_t seed = 1; seed < 3; ++seed)
      weighted_sum(embedding(weight, tokens, torch::kBFloat16), seed).backward();
    return weight.grad();
  };
  const auto first = gradient();
  for (int i = 0; i < 3; ++i) CHECK_SAME(gradient(), first);
}

TEST_CASE("the embedding on a GPU sums the gradients of equal tokens in their order", "[gpu]") {
  require_cuda();
  constexpr int64_t kLargeV = 128256, kMany = 8192, E = 8;  // LLaMA 3's vocabulary, a long block
  const auto positions = torch::arange(kMany, torch::kInt64);
  const std::vector<torch::Tensor> cases = {torch::zeros({1}, torch::kInt64),
                                            torch::full({1}, kLargeV - 1, torch::kInt64),
                                            torch::full({kMany}, kLargeV - 1, torch::kInt64),
                                            kLargeV - 1 - positions,
                                            positions * 104729 % kLargeV,
                                            positions * positions % 97};
  for (const auto& tokens : cases) {
    const int64_t n = tokens.numel();
    INFO(n << " tokens, the last is " << tokens[n - 1].item<int64_t>());
    const auto gradient = normal({n, E}, 3);
    const auto want = torch::zeros({kLargeV, E});
    for (int64_t i = 0; i < n; ++i) want[tokens[i].item<int64_t>()].add_(gradient[i]);

    auto weight = torch::zeros({kLargeV, E}, torch::kCUDA).requires_grad_(true);
    auto backward = [&] {
      embedding(weight, tokens.to(torch::kCUDA), torch::kFloat32)
          .backward(gradient.to(torch::kCUDA));
    };
    backward();  // dense
    CHECK_SAME(weight.grad().cpu(), want);
    weight.mutable_grad().zero_();
    backward();  // straight into it
    CHECK_SAME(weight.grad().cpu(), want);
  }
}

TEST_CASE("the gradient of the embedding on a GPU can be recorded as a graph", "[gpu]") {
  require_cuda();
  const int64_t n = GENERATE(256, 8192);  // the sort takes another way for many
  auto weight = weight_on(torch::kCUDA, 64);
  weight.mutable_grad() = torch::zeros_like(weight);
  const auto tokens = torch::zeros({n}, torch::device(torch::kCUDA).dtype(torch::kInt64));
  const auto gradient = normal({n, 64}, 3).to(torch::kCUDA);
  auto backward = [&] { embedding(weight, tokens, torch::kFloat32).backward(gradient); };
  RepeatedWork recorded;
  for (int64_t run = 1; run <= 3; ++run) {  // runs, records, replays: with other tokens each time
    tokens.copy_((some_tokens(1, n)[0] + run) % kVocabulary);
    weight.mutable_grad().zero_();
    recorded.run(/*may_record=*/true, backward);
    const auto got = weight.grad().clone();
    weight.mutable_grad().zero_();
    backward();
    CHECK_SAME(got, weight.grad());
  }
}

TEST_CASE("an embedding that is the head too gets both gradients on a GPU", "[gpu]") {
  require_cuda();
  const auto tokens = some_tokens(2, 37);
  auto backward = [&](const torch::Tensor& weight) {
    const auto x = embedding(weight, tokens.to(weight.device()), torch::kFloat32);
    weighted_sum(torch::matmul(x, weight.t())).backward();
  };
  const auto on_cpu = weight_on(torch::kCPU, 16), on_gpu = weight_on(torch::kCUDA, 16);
  for (int i = 0; i < 2; ++i) {
    backward(on_cpu);
    backward(on_gpu);
    const double scale = on_cpu.grad().abs().max().item<double>();
    CHECK_CLOSE(on_gpu.grad() / scale, on_cpu.grad() / scale, /*factor=*/50.0);
  }
}

TEST_CASE("the embedding's weight on a GPU may come from a computation", "[gpu]") {
  require_cuda();
  const auto tokens = some_tokens(2, 37).to(torch::kCUDA);
  const auto leaf = weight_on(torch::kCUDA, 16);
  weighted_sum(embedding(leaf * 2, tokens, torch::kFloat32)).backward();
  const auto want = weight_on(torch::kCUDA, 16);
  weighted_sum(torch::embedding(want * 2, tokens)).backward();
  CHECK_CLOSE(leaf.grad(), want.grad(), /*factor=*/10.0);
}
