// The fused soft cache against its slow form in float32.

#include "lococo/retention.h"
#include "soft/soft_cache.h"
#include "soft/soft_cache_fused.h"
#include "tensor/kit/torch.h"
#include "tests/support/catch.h"
#include "tests/support/gpu.h"
#include "tests/support/tensors.h"

using namespace lococo;
using namespace lococo::testing;

namespace {

struct Leaves {
  torch::Tensor q, k, v, score, mass_weight;

  Leaves to(torch::ScalarType dtype) const {
    const auto leaf = [](const torch::Tensor& x) { return x.detach().clone().requires_grad_(); };
    return {leaf(q.to(dtype)), leaf(k.to(dtype)), leaf(v.to(dtype)), leaf(score),
            leaf(mass_weight)};
  }
  SoftAttentionInput input(AttentionBackend backend) const { return {q, k, v, backend}; }
};

/// Relative distance of two tensors as vectors.
double distance(const torch::Tensor& got, const torch::Tensor& want) {
  const auto difference = got.to(torch::kFloat64) - want.to(torch::kFloat64);
  return (difference.norm() / want.to(torch::kFloat64).norm().clamp_min(1e-12)).item<double>();
}

}  // namespace

TEST_CASE("the fused soft cache and its gradients are those of the slow form", "[gpu]") {
  require_cuda();
  const auto [B, H, G, T, D] = GENERATE(table<int64_t, int64_t, int64_t, int64_t, int64_t>(
      {{2, 6, 2, 200, 64},
       {1, 4, 4, 331, 128},
       {2, 3, 1, 96, 64},
       {2, 4, 2, 577, 128},
       {1, 4, 2, 276, 128}}));  // the last group has 20 queries
  const auto backend =
      GENERATE(AttentionBackend::kAuto, AttentionBackend::kFlash, AttentionBackend::kCudnn);
  const auto [alone, massed] = GENERATE(table<int64_t, int64_t>({{12, 12}, {24, 0}, {0, 24}}));
  CAPTURE(B, H, G, T, D, alone, massed, static_cast<int>(backend));
  SoftCache cache;
  cache.keep = {2, 6, alone, massed, 0.3};
  cache.block = 32;
  cache.score_decay = 0.8;
  cache.score_distance = 4;
  const auto on_gpu = [](at::IntArrayRef sizes, uint64_t seed) {
    return normal(sizes, seed).to(torch::kCUDA).to(torch::kBFloat16);
  };
  const Leaves given = {on_gpu({B, H, T, D}, 1), on_gpu({B, G, T, D}, 2), on_gpu({B, G, T, D}, 3),
                        normal({B, G, T}, 4).to(torch::kCUDA),
                        (0.3 + 0.1 * normal({G}, 5)).to(torch::kCUDA)};
  const auto got = given.to(torch::kBFloat16), want = given.to(torch::kFloat32);
  REQUIRE(takes_fused_soft_cache(got.input(backend)));
  const auto out = soft_cache_attention(got.input(backend), cache, got.score, got.mass_weight);
  const auto out_want = soft_cache_attention_reference(want.input(AttentionBackend::kReference),
                                                       cache, want.score, want.mass_weight);
  // bfloat16 rounds attention's inputs and outputs to 2^-9.
  CHECK(distance(out, out_want) < 0.01);
  const auto probe = normal({B, H, T, D}, 6).to(torch::kCUDA);
  (out.to(torch::kFloat32) * probe).sum().backward();
  (out_want * probe).sum().backward();
  CHECK(distance(got.q.grad(), want.q.grad()) < 0.02);
  CHECK(distance(got.k.grad(), want.k.grad()) < 0.02);
  CHECK(distance(got.v.grad(), want.v.grad()) < 0.02);
  CHECK(distance(got.score.grad(), want.score.grad()) < 0.05);
  if (massed > 0) CHECK(distance(got.mass_weight.grad(), want.mass_weight.grad()) < 0.1);
}
