#include "tensor/attention/attention.h"

#include "tensor/attention/attention_fused.h"
#include "tensor/kit/torch.h"
#include "tests/support/catch.h"
#include "tests/support/gradcheck.h"
#include "tests/support/qkv_shape.h"
#include "tests/support/tensors.h"

using namespace lococo;
using namespace lococo::testing;

namespace {

struct Qkv {
  torch::Tensor q_BHLD, k_BGSD, v_BGSD;
};

Qkv random_qkv(const QkvShape& s, torch::ScalarType dtype) {
  Qkv x = {normal({s.B, s.H, s.L, s.D}, 1, dtype), normal({s.B, s.G, s.S, s.D}, 2, dtype),
           normal({s.B, s.G, s.S, s.D}, 3, dtype)};
  for (auto* tensor : {&x.q_BHLD, &x.k_BGSD, &x.v_BGSD}) tensor->requires_grad_(true);
  return x;
}

AttentionOutput attend(const Qkv& x, AttentionBackend backend) {
  return causal_attention(x.q_BHLD, x.k_BGSD, x.v_BGSD, backend);
}

std::vector<torch::Tensor> gradients(const Qkv& x, AttentionBackend backend) {
  const auto loss = weighted_sum(attend(x, backend).out_BHLD);
  return torch::autograd::grad({loss}, {x.q_BHLD, x.k_BGSD, x.v_BGSD});
}

}  // namespace

TEST_CASE("flash attention on a CPU agrees with the reference, gradients included", "[tensor]") {
  const auto dtype = GENERATE(torch::kFloat32, torch::kFloat64, torch::kBFloat16);
  const auto s = GENERATE(QkvShape{2, 4, 4, 8, 8, 16}, QkvShape{1, 4, 2, 7, 7, 8},
                          QkvShape{2, 6, 2, 5, 13, 8}, QkvShape{1, 2, 1, 1, 9, 4},
                          QkvShape{1, 2, 2, 1, 1, 4}, QkvShape{1, 4, 1, 67, 131, 20});
  INFO(dtype << " H=" << s.H << " G=" << s.G << " L=" << s.L << " S=" << s.S);
  const auto x = random_qkv(s, dtype);
  const auto slow = attend(x, AttentionBackend::kReference);
  const auto fast = attend(x, AttentionBackend::kFlash);
  CHECK(fast.out_BHLD.scalar_type() == dtype);
  CHECK(fast.lse_BHL.scalar_type() == torch::kFloat32);
  CHECK_FALSE(fast.lse_BHL.requires_grad());
  CHECK_CLOSE(fast.out_BHLD, slow.out_BHLD);
  // LibTorch's kernel for bfloat16 takes an exponential of about 16 bits on some processors.
  CHECK_CLOSE(fast.lse_BHL, slow.lse_BHL, dtype == torch::kBFloat16 ? 20.0 : 1.0);

  const auto want = gradients(x, AttentionBackend::kReference);
  const auto got = gradients(x, AttentionBackend::kFlash);
  // A key's gradient sums over up to L * H / G queries, each rounded to bfloat16 by the kernel.
  const double factor = dtype == torch::kBFloat16 ? 4.0 : 1.0;
  for (size_t i = 0; i < 3; ++i) CHECK_CLOSE(got[i], want[i], factor);
}

TEST_CASE("the reference's gradients agree with differences", "[tensor]") {
  const auto x = random_qkv({1, 4, 2, 3, 5, 4}, torch::kFloat64);
  CHECK(
      gradient_error([&] { return weighted_sum(attend(x, AttentionBackend::kReference).out_BHLD); },
                     {x.q_BHLD, x.k_BGSD, x.v_BGSD}) == "");
}

TEST_CASE("query l of L sees keys 0 to S - L + l and no other", "[tensor]") {
  const auto backend = GENERATE(AttentionBackend::kReference, AttentionBackend::kFlash);
  const int64_t L = 3, S = 7;
  // Equal scores: each output is the mean of the visible values 0, 1, 2, ...
  const auto values = torch::arange(S, torch::kFloat32).view({1, 1, S, 1}).expand({1, 1, S, 4});
  const auto zeros = torch::zeros({1, 1, S, 4});
  const auto result = causal_attention(zeros.narrow(2, 0, L), zeros, values.contiguous(), backend);
  CHECK_CLOSE(result.out_BHLD.select(3, 0).flatten(), torch::tensor({2.0F, 2.5F, 3.0F}));
  CHECK_CLOSE(result.lse_BHL.flatten(), torch::tensor({5.0F, 6.0F, 7.0F}).log());
}

TEST_CASE("no output depends on a later value, whatever the lengths", "[tensor]") {
  const auto backend = GENERATE(AttentionBackend::kReference, AttentionBackend::kFlash);
  const auto s =
      GENERATE(QkvShape{1, 2, 2, 8, 8, 4}, QkvShape{1, 2, 1, 5, 9, 4}, QkvShape{1, 3, 1, 7, 7, 4});
  const auto x = random_qkv(s, torch::kFloat64);
  const auto out_BHLD = attend(x, backend).out_BHLD;
  for (int64_t l = 0; l < s.L; ++l) {
    const auto row = out_BHLD.select(2, l).sum();
    const auto grad = torch::autograd::grad({row}, {x.v_BGSD}, {}, /*retain_graph=*/true)[0];
    const auto reached_S = grad.abs().sum(/*dim=*/{0, 1, 3}) > 0;
    const int64_t visible = s.S - s.L + l + 1;
    CHECK(reached_S.narrow(0, 0, visible).all().item<bool>());
    CHECK_FALSE(reached_S.narrow(0, visible, s.S - visible).any().item<bool>());
  }
}

TEST_CASE("grouped query attention is attention with every key head repeated", "[tensor]") {
  const auto backend = GENERATE(AttentionBackend::kReference, AttentionBackend::kFlash);
  const auto x = random_qkv({2, 6, 2, 4, 6, 8}, torch::kFloat32);
  const auto grouped = attend(x, backend);
  // Query heads 0 to 2 share key head 0, heads 3 to 5 key head 1.
  const auto heads = torch::tensor({0, 0, 0, 1, 1, 1});
  const auto repeated = causal_attention(x.q_BHLD, x.k_BGSD.index_select(1, heads),
                                         x.v_BGSD.index_select(1, heads), backend);
  CHECK_CLOSE(grouped.out_BHLD, repeated.out_BHLD);
  CHECK_CLOSE(grouped.lse_BHL, repeated.lse_BHL);
}

TEST_CASE("large scores stay finite", "[tensor]") {
  const auto backend = GENERATE(AttentionBackend::kReference, AttentionBackend::kFlash);
  auto x = random_qkv({1, 2, 2, 4, 6, 8}, torch::kFloat32);
  const auto big = causal_attention(x.q_BHLD * 1e3, x.k_BGSD * 1e3, x.v_BGSD, backend);
  CHECK(torch::isfinite(big.out_BHLD).all().item<bool>());
  CHECK(torch::isfinite(big.lse_BHL).all().item<bool>());
}

TEST_CASE("on a CPU auto means the blocked kernel", "[tensor]") {
  const auto x = random_qkv({1, 2, 2, 4, 4, 8}, torch::kFloat32);
  CHECK(resolve_backend(AttentionBackend::kAuto, x.q_BHLD, 4) == AttentionBackend::kFlash);
  CHECK(resolve_backend(AttentionBackend::kReference, x.q_BHLD, 4) == AttentionBackend::kReference);
  CHECK_SAME(attend(x, AttentionBackend::kAuto).out_BHLD,
             attend(x, AttentionBackend::kFlash).out_BHLD);
}

TEST_CASE("gradients come from cuDNN where it takes the heads and gains by it", "[tensor]") {
  const auto choice = [](int64_t queries, int64_t channels, bool on_hopper, bool deterministic) {
    return fastest_gradients(
        {/*on_gpu=*/true, torch::kBFloat16, queries, /*keys=*/4096, channels, deterministic},
        on_hopper);
  };
  CHECK(choice(1024, 144, /*on_hopper=*/true, false) == AttentionBackend::kCudnn);
  CHECK(choice(1024, 144, /*on_hopper=*/false, false) == AttentionBackend::kFlash);
  CHECK(choice(1024, 80, /*on_hopper=*/false, false) == AttentionBackend::kCudnn);
  CHECK(choice(1024, 144, /*on_hopper=*/true, /*deterministic=*/true) == AttentionBackend::kFlash);
  CHECK(choice(20, 144, /*on_hopper=*/true, false) == AttentionBackend::kFlash);
  CHECK(fastest_gradients(normal({1, 2, 256, 64}, 1)) == AttentionBackend::kFlash);  // on a CPU
}

TEST_CASE("what is laid out like another tensor is copied only where its memory differs",
          "[tensor]") {
  // A chunk of a longer sequence, tokens first in memory: with one row its stride stands alone.
  const auto chunk = [](int64_t rows) {
    return normal({rows, 8, 3, 4}, 1).transpose(1, 2).narrow(/*dim=*/2, 2, 5);
  };
  const auto q = chunk(1), out = normal({1, 5, 3, 4}, 2).transpose(1, 2);
  const auto same = laid_out_like(q, out), copied = laid_out_like(q, out.contiguous());
  CHECK(same.data_ptr() == out.data_ptr());
  CHECK(same.strides() == torch::empty_like(q).strides());
  CHECK(copied.strides() == same.strides());
  CHECK_SAME(copied, out);
  const auto rows = laid_out_like(chunk(2), normal({2, 3, 5, 4}, 3));
  CHECK(rows.strides() == torch::empty_like(chunk(2)).strides());
  CHECK_SAME(rows, normal({2, 3, 5, 4}, 3));
}

TEST_CASE("auto takes what the head's channels, the dtype and the alignment allow", "[tensor]") {
  AttentionWork work = {/*on_gpu=*/true, torch::kBFloat16, 512, 512, 128};
  CHECK(fastest_backend(work) == AttentionBackend::kCudnn);
  work.deterministic = true;
  CHECK(fastest_backend(work) == AttentionBackend::kFlash);
  work.deterministic = false;
  work.keys = 1024;
  CHECK(fastest_backend(work) == AttentionBackend::kFlash);
  work.keys = work.queries;
  for (const int64_t channels : {136, 256}) {  // too many for cuDNN
    work.channels = channels;
    CHECK(fastest_backend(work) == AttentionBackend::kFlash);
  }
  for (const int64_t channels : {1, 33, 100, 264, 288}) {
    INFO(channels);
    work.channels = channels;
    CHECK(fastest_backend(work) == AttentionBackend::kReference);
    work.on_gpu = false;
    CHECK(fastest_backend(work) == AttentionBackend::kFlash);
    work.on_gpu = true;
  }
  work.channels = 128;
  work.dtype = torch::kFloat32;
  CHECK(fastest_backend(work) == AttentionBackend::kReference);
}

TEST_CASE("auto agrees with the reference for odd and for very wide heads", "[tensor]") {
  const auto dtype = GENERATE(torch::kFloat32, torch::kBFloat16);
  const int64_t D = GENERATE(33, 288);
  const auto x = random_qkv({1, 4, 2, 7, 11, D}, dtype);
  INFO(dtype << " D=" << D);
  CHECK_CLOSE(attend(x, AttentionBackend::kAuto).out_BHLD,
              attend(x, AttentionBackend::kReference).out_BHLD);
  const auto want = gradients(x, AttentionBackend::kReference);
  const auto got = gradients(x, AttentionBackend::kAuto);
  const double factor = dtype == torch::kBFloat16 ? 4.0 : 1.0;
  for (size_t i = 0; i < 3; ++i) CHECK_CLOSE(got[i], want[i], factor);
}

TEST_CASE("attention refuses shapes that do not fit together", "[tensor]") {
  const auto q = normal({1, 3, 4, 8}, 1), k = normal({1, 2, 4, 8}, 2);
  CHECK_THROWS_AS(causal_attention(q, k, k, AttentionBackend::kReference), c10::Error);
  const auto few = normal({1, 3, 2, 8}, 3);  // fewer keys than queries
  CHECK_THROWS_AS(causal_attention(q, few, few, AttentionBackend::kReference), c10::Error);
  const auto good = normal({1, 3, 4, 8}, 4);
  CHECK_THROWS_AS(causal_attention(q, good, normal({1, 3, 5, 8}, 5), AttentionBackend::kFlash),
                  c10::Error);
}
