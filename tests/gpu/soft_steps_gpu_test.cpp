// The kernels of the fused soft cache's small steps against their tensor operations on the CPU.

#include "soft/soft_steps.h"
#include "tensor/kit/torch.h"
#include "tests/support/catch.h"
#include "tests/support/gpu.h"
#include "tests/support/tensors.h"

using namespace lococo;
using namespace lococo::testing;

namespace {

constexpr int64_t B = 2, G = 3, H = 6, D = 16, C = D + 2 * kMostKeyTerms, T = 700, S = 600, M = 517;
constexpr double kScale = 0.25;

torch::Tensor floats(at::IntArrayRef sizes, uint64_t seed) {
  return normal(sizes, seed, torch::kFloat32);
}

torch::Tensor gpu(const torch::Tensor& tensor) { return tensor.to(torch::kCUDA); }

}  // namespace

TEST_CASE("a block's scores and their gradients are those of tensor operations", "[gpu]") {
  require_cuda();
  const auto score = floats({B, G, T}, 1), mass = floats({B, G, M}, 2).abs(),
             weight = floats({G}, 3);
  const auto want = block_scores(score, mass, weight, M);
  const auto got = block_scores(gpu(score), gpu(mass), gpu(weight), M);
  CHECK_SAME(got.score_BGM.cpu(), want.score_BGM);
  CHECK_CLOSE(got.massed_BGM.cpu(), want.massed_BGM);

  const auto d_score = floats({B, G, M}, 4), d_massed = floats({B, G, M}, 5);
  const auto score_sum = floats({B, G, T}, 6), weight_sum = floats({B, G}, 7);
  const auto score_sum_got = gpu(score_sum), weight_sum_got = gpu(weight_sum);
  add_choice_gradients(gpu(d_score), gpu(d_massed), gpu(mass), score_sum_got, weight_sum_got);
  add_choice_gradients(d_score, d_massed, mass, score_sum, weight_sum);
  CHECK_CLOSE(score_sum_got.cpu(), score_sum);
  CHECK_CLOSE(weight_sum_got.cpu(), weight_sum, /*factor=*/30.0);
}

TEST_CASE("a key's terms are written and its mass is added as by tensor operations", "[gpu]") {
  require_cuda();
  const int64_t heads = GENERATE(G, H), channel = D + GENERATE(0, 6);
  const auto log_keep = -floats({B, G, M}, 1).abs();
  const auto keys = floats({B, T, heads, C}, 2).to(torch::kBFloat16);
  const auto got = gpu(keys);
  for (const auto& term : {log_keep, torch::Tensor()}) {
    write_key_terms(got.narrow(1, 0, S), term.defined() ? gpu(term) : term, channel, kScale);
    write_key_terms(keys.narrow(1, 0, S), term, channel, kScale);
    CHECK_SAME(got.cpu(), keys);
  }

  const auto earlier = floats({B, G, M}, 3);
  for (const bool kept : {false, true}) {
    const auto received = floats({B, G, S}, 4), on_gpu = gpu(received);
    const auto share = kept ? log_keep : torch::Tensor();
    add_mass(on_gpu, kept ? gpu(share) : share, gpu(earlier), 0.8);
    add_mass(received, share, earlier, 0.8);
    CHECK_CLOSE(on_gpu.cpu(), received);
  }
}

TEST_CASE("gradients of keys and of their terms are added as by tensor operations", "[gpu]") {
  require_cuda();
  const int64_t heads = GENERATE(G, H);
  const auto terms = GENERATE(std::vector<int64_t>{0}, std::vector<int64_t>{M},
                              std::vector<int64_t>{0, 0, 96, 200, 304, 408, M, S});
  const auto dk = floats({B, S, heads, C}, 1).to(torch::kBFloat16);
  const auto dv = floats({B, S, heads, C}, 2).to(torch::kBFloat16);
  const auto k_sum = floats({B, T, G, D}, 3), v_sum = floats({B, T, G, D}, 4);
  const auto k_got = gpu(k_sum), v_got = gpu(v_sum);
  const auto got = add_key_gradients(gpu(dk), gpu(dv), k_got, v_got, terms, kScale);
  const auto want = add_key_gradients(dk, dv, k_sum, v_sum, terms, kScale);
  CHECK_CLOSE(k_got.cpu(), k_sum);
  CHECK_CLOSE(v_got.cpu(), v_sum);
  REQUIRE(got.size() == terms.size());
  for (size_t n = 0; n < terms.size(); ++n) {
    REQUIRE(got[n].defined() == (terms[n] > 0));
    if (terms[n] > 0) CHECK_CLOSE(got[n].cpu(), want[n]);
  }
}
