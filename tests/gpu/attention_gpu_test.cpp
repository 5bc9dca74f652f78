// The GPU's attention against the reference.
#include <torch/cuda.h>

#include "tensor/attention/attention.h"
#include "tensor/attention/attention_recall.h"
#include "tensor/kit/matmul.h"
#include "tensor/kit/torch.h"
#include "tests/support/catch.h"
#include "tests/support/gpu.h"
#include "tests/support/gradcheck.h"
#include "tests/support/qkv_shape.h"
#include "tests/support/tensors.h"

using namespace lococo;
using namespace lococo::testing;

namespace {

const std::vector<QkvShape>& qkv_shapes() {
  static const std::vector<QkvShape> list = {{2, 4, 4, 64, 64, 64},    {1, 8, 2, 128, 256, 64},
                                             {3, 4, 2, 37, 101, 64},   {1, 4, 1, 1, 77, 128},
                                             {2, 6, 2, 63, 63, 32},    {1, 32, 8, 512, 1024, 128},
                                             {2, 2, 2, 129, 130, 128}, {1, 2, 1, 1, 1, 64}};
  return list;
}

struct Qkv {
  Qkv(const QkvShape& s, torch::ScalarType dtype)
      : q_BHLD(leaf_on_gpu({s.B, s.H, s.L, s.D}, 1, dtype)),
        k_BGSD(leaf_on_gpu({s.B, s.G, s.S, s.D}, 2, dtype)),
        v_BGSD(leaf_on_gpu({s.B, s.G, s.S, s.D}, 3, dtype)) {}
  torch::Tensor q_BHLD, k_BGSD, v_BGSD;
};

/// The same numbers in three orders of memory; one comes twice, before and after the others.
std::vector<torch::Tensor> in_any_order(const torch::Tensor& d_BHLD) {
  return {d_BHLD, d_BHLD.transpose(1, 2).contiguous().transpose(1, 2),
          d_BHLD.transpose(2, 3).contiguous().transpose(2, 3), d_BHLD};
}

void compare_backend(AttentionBackend backend, const QkvShape& s) {
  INFO(text(s));
  const Qkv x(s, torch::kBFloat16);
  auto run = [&](AttentionBackend which) {
    return causal_attention(x.q_BHLD, x.k_BGSD, x.v_BGSD, which);
  };
  auto gradients = [&](const torch::Tensor& out) {
    return torch::autograd::grad({weighted_sum(out)}, {x.q_BHLD, x.k_BGSD, x.v_BGSD});
  };
  const auto slow = run(AttentionBackend::kReference), fast = run(backend);
  CHECK(fast.out_BHLD.scalar_type() == torch::kBFloat16);
  CHECK(fast.lse_BHL.scalar_type() == torch::kFloat32);
  CHECK_FALSE(fast.lse_BHL.requires_grad());
  CHECK_CLOSE(fast.out_BHLD, slow.out_BHLD);
  // Log-sum-exps stay in float32, but the tensor cores add the scores up in another order.
  CHECK_CLOSE(fast.lse_BHL, slow.lse_BHL, /*factor=*/10.0);
  const auto got = gradients(fast.out_BHLD), want = gradients(slow.out_BHLD);
  // Sums over many queries of terms rounded to bfloat16 on both sides.
  for (size_t i = 0; i < 3; ++i) CHECK_CLOSE(got[i], want[i], /*factor=*/4.0);
}

}  // namespace

TEST_CASE("FlashAttention agrees with the reference, gradients included", "[gpu]") {
  require_cuda();
  for (const auto& s : qkv_shapes()) compare_backend(AttentionBackend::kFlash, s);
}

TEST_CASE("cuDNN attention agrees with the reference, gradients included", "[gpu]") {
  require_cuda();
  for (const auto& s : qkv_shapes()) compare_backend(AttentionBackend::kCudnn, s);
}

TEST_CASE("auto attention on a GPU agrees with the reference", "[gpu]") {
  require_cuda();
  for (const auto& s : qkv_shapes()) compare_backend(AttentionBackend::kAuto, s);
  const Qkv wide({1, 2, 2, 4, 8, 16}, torch::kFloat32);
  CHECK(resolve_backend(AttentionBackend::kAuto, wide.q_BHLD, 8) == AttentionBackend::kReference);
}

TEST_CASE("attention takes its gradient in any order of memory, one after the other", "[gpu]") {
  require_cuda();
  for (const auto& s : qkv_shapes()) {
    for (const auto backend : {AttentionBackend::kFlash, AttentionBackend::kCudnn}) {
      INFO(text(s) << " backend " << static_cast<int>(backend));
      const Qkv x(s, torch::kBFloat16);
      const auto d_out = normal({s.B, s.H, s.L, s.D}, 4, torch::kBFloat16).to(torch::kCUDA);
      auto gradients = [&](const torch::Tensor& d) {
        const auto out = causal_attention(x.q_BHLD, x.k_BGSD, x.v_BGSD, backend).out_BHLD;
        return torch::autograd::grad({out}, {x.q_BHLD, x.k_BGSD, x.v_BGSD}, {d});
      };
      const auto want = gradients(d_out);
      for (const auto& d : in_any_order(d_out)) {
        const auto got = gradients(d);
        for (size_t i = 0; i < 3; ++i) CHECK_CLOSE(got[i], want[i], /*factor=*/4.0);
      }
    }
  }
}

TEST_CASE("recalled attention takes its gradient in any order of memory, one after the other",
          "[gpu]") {
  require_cuda();
  for (auto s : qkv_shapes()) {
    s.S = s.L;  // a whole sequence
    for (const auto backend : {AttentionBackend::kFlash, AttentionBackend::kCudnn}) {
      INFO(text(s) << " backend " << static_cast<int>(backend));
      const Qkv x(s, torch::kBFloat16);
      const auto d_out = normal({s.B, s.H, s.L, s.D}, 4, torch::kBFloat16).to(torch::kCUDA);
      auto gradients = [&](const torch::Tensor& out, const torch::Tensor& d) {
        return torch::autograd::grad({out}, {x.q_BHLD, x.k_BGSD, x.v_BGSD}, {d});
      };
      const auto direct = causal_attention(x.q_BHLD, x.k_BGSD, x.v_BGSD, backend).out_BHLD;
      const auto want = gradients(direct, d_out);
      const auto memo = remember_attention(x.q_BHLD, x.k_BGSD, x.v_BGSD, backend);
      for (const auto& d : in_any_order(d_out)) {
        const auto out = recall_attention(x.q_BHLD, x.k_BGSD, x.v_BGSD, memo);
        CHECK_CLOSE(out, direct);
        const auto got = gradients(out, d);
        for (size_t i = 0; i < 3; ++i) CHECK_CLOSE(got[i], want[i], /*factor=*/4.0);
      }
    }
  }
}

TEST_CASE("attention takes strided inputs, as the projections deliver them", "[gpu]") {
  require_cuda();
  const auto backend = GENERATE(AttentionBackend::kFlash, AttentionBackend::kCudnn);
  const Qkv x({2, 4, 2, 33, 65, 64}, torch::kBFloat16);
  auto strided = [](const torch::Tensor& t) {
    return t.transpose(1, 2).contiguous().transpose(1, 2);
  };
  const auto want = causal_attention(x.q_BHLD, x.k_BGSD, x.v_BGSD, backend);
  const auto got =
      causal_attention(strided(x.q_BHLD), strided(x.k_BGSD), strided(x.v_BGSD), backend);
  CHECK_CLOSE(got.out_BHLD, want.out_BHLD);
  CHECK_CLOSE(got.lse_BHL, want.lse_BHL);
}

TEST_CASE("products of half precision inputs keep their float32 sums on a GPU", "[gpu]") {
  require_cuda();
  const auto a = leaf_on_gpu({2, 33, 64}, 1, torch::kBFloat16),
             b = leaf_on_gpu({2, 64, 17}, 2, torch::kBFloat16);
  const auto exact = torch::bmm(a.to(torch::kFloat64), b.to(torch::kFloat64)).to(torch::kFloat32);
  const auto product = batched_matmul_f32(a, b);
  CHECK(product.scalar_type() == torch::kFloat32);
  CHECK_CLOSE(product, exact, /*factor=*/10.0);
  CHECK_CLOSE(matmul_f32(a[0], b[0]), exact[0], /*factor=*/10.0);
}
