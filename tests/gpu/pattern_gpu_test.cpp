// Segments, sinks and documents on a GPU against the dense mask.
#include "model/llama.h"
#include "tensor/attention/attention.h"
#include "tensor/kit/torch.h"
#include "tensor/pattern/attention_pattern.h"
#include "tensor/pattern/masked_attention.h"
#include "tests/support/catch.h"
#include "tests/support/gpu.h"
#include "tests/support/gradcheck.h"
#include "tests/support/pattern_cases.h"
#include "tests/support/tensors.h"
#include "tests/support/tiny_llama.h"

using namespace lococo;
using namespace lococo::testing;

namespace {

std::vector<torch::Tensor> gradients(const torch::Tensor& out, const PatternQkv& x,
                                     const torch::Tensor& d_out) {
  return torch::autograd::grad({out}, {x.q_BHLD, x.k_BGLD, x.v_BGLD}, {d_out});
}

/// Where a gradient is exactly zero (queries and keys of a sequence of one token), its rounding is
/// held against what came in.
double gradient_error(const torch::Tensor& got, const torch::Tensor& want,
                      const torch::Tensor& d_out) {
  if (want.count_nonzero().item<int64_t>() > 0) return relative_error(got, want);
  return (got.to(torch::kFloat32).norm() / d_out.to(torch::kFloat32).norm()).item<double>();
}

/// The dense mask in float32 on the same numbers.
void compare_in_float32(const PatternCase& c, const PatternQkv& x, const torch::Tensor& d_out,
                        const torch::Tensor& fast, const std::vector<torch::Tensor>& got) {
  const auto wide = [](const torch::Tensor& t) {
    return t.detach().to(torch::kFloat32).requires_grad_();
  };
  const PatternQkv wide_x = {wide(x.q_BHLD), wide(x.k_BGLD), wide(x.v_BGLD)};
  const auto exact =
      masked_attention(wide_x.q_BHLD, wide_x.k_BGLD, wide_x.v_BGLD, c.form, c.documents);
  CHECK(relative_error(fast, exact) < 2e-2);
  const auto want = gradients(exact, wide_x, d_out.to(torch::kFloat32));
  for (size_t i = 0; i < want.size(); ++i) CHECK(gradient_error(got[i], want[i], d_out) < 2e-2);
}

void compare(const PatternCase& c, AttentionBackend backend) {
  INFO(text(c) << " backend " << static_cast<int>(backend));
  const auto x = random_qkv(c, torch::kBFloat16, torch::kCUDA);
  const auto d_out = normal({c.B, c.H, c.L, c.D}, 9, torch::kBFloat16).to(torch::kCUDA);
  const auto pattern = make_segment_pattern(c.form, backend);
  const auto slow = masked_attention(x.q_BHLD, x.k_BGLD, x.v_BGLD, c.form, c.documents);
  const auto fast = pattern->attend(x.q_BHLD, x.k_BGLD, x.v_BGLD, c.documents);
  CHECK_CLOSE(fast, slow);
  const auto want = gradients(slow, x, d_out);
  const auto memo = pattern->remember(x.q_BHLD, x.k_BGLD, x.v_BGLD, c.documents);
  const auto recalled = pattern->recall(x.q_BHLD, x.k_BGLD, x.v_BGLD, c.documents, memo);
  CHECK_SAME(recalled, fast);
  std::vector<torch::Tensor> got;
  for (const auto& out : {recalled, fast}) {
    got = gradients(out, x, d_out);
    // Each part's gradients are rounded to bfloat16 before they are added up.
    for (size_t i = 0; i < want.size(); ++i) CHECK_CLOSE(got[i], want[i], /*factor=*/4.0);
  }
  compare_in_float32(c, x, d_out, fast, got);
  auto last = memo;
  last.overwrites = true;
  got = gradients(pattern->recall(x.q_BHLD, x.k_BGLD, x.v_BGLD, c.documents, last), x, d_out);
  for (size_t i = 0; i < want.size(); ++i) CHECK_CLOSE(got[i], want[i], /*factor=*/4.0);
}

}  // namespace

TEST_CASE("segments through a GPU's kernels agree with the dense mask, gradients included",
          "[gpu]") {
  require_cuda();
  for (const auto backend :
       {AttentionBackend::kFlash, AttentionBackend::kCudnn, AttentionBackend::kAuto}) {
    for (const int64_t D : {64, 128}) {
      for (const PatternCase& c : pattern_cases(D)) compare(c, backend);
    }
  }
}

TEST_CASE("segments and full attention of the same strides do not disturb each other", "[gpu]") {
  require_cuda();
  // cuDNN's plans are kept by the strides of q, k and v: one group has those of full attention.
  PatternCase c;
  c.B = 2, c.H = 4, c.G = 4, c.L = 64, c.D = 64;
  c.form = {/*group=*/64, /*shifted_heads=*/0, /*sinks=*/0};
  const auto x = random_qkv(c, torch::kBFloat16, torch::kCUDA);
  const auto d_out = normal({c.B, c.H, c.L, c.D}, 9, torch::kBFloat16).to(torch::kCUDA);
  const auto slow = masked_attention(x.q_BHLD, x.k_BGLD, x.v_BGLD, c.form, {});
  const auto want = gradients(slow, x, d_out);
  for (int round = 0; round < 2; ++round) {
    for (const auto& pattern : {make_segment_pattern(c.form, AttentionBackend::kCudnn),
                                make_full_pattern(AttentionBackend::kCudnn)}) {
      const auto out = pattern->attend(x.q_BHLD, x.k_BGLD, x.v_BGLD, {});
      CHECK_CLOSE(out, slow);
      const auto got = gradients(out, x, d_out);
      for (size_t i = 0; i < want.size(); ++i) CHECK_CLOSE(got[i], want[i], /*factor=*/4.0);
    }
  }
}

TEST_CASE("full attention goes backward on a GPU over some heads at a time", "[gpu]") {
  require_cuda();
  PatternCase c;
  c.B = 2, c.H = 6, c.G = 6, c.L = 300, c.D = 128;
  for (const auto backend : {AttentionBackend::kFlash, AttentionBackend::kCudnn}) {
    for (const int64_t heads : {1, 4}) {
      INFO("backend " << static_cast<int>(backend) << " heads " << heads);
      const auto x = random_qkv(c, torch::kBFloat16, torch::kCUDA);
      const auto d_out = normal({c.B, c.H, c.L, c.D}, 9, torch::kBFloat16).to(torch::kCUDA);
      const auto memo = remember_attention(x.q_BHLD, x.k_BGLD, x.v_BGLD, backend);
      const auto all = recall_attention(x.q_BHLD, x.k_BGLD, x.v_BGLD, memo);
      const auto want = gradients(all, x, d_out);
      const auto few = recall_attention(x.q_BHLD, x.k_BGLD, x.v_BGLD, memo, heads);
      const auto got = gradients(few, x, d_out);
      for (size_t i = 0; i < want.size(); ++i) CHECK_CLOSE(got[i], want[i], /*factor=*/4.0);
    }
  }
}

TEST_CASE("no output on a GPU depends on a later value", "[gpu]") {
  require_cuda();
  for (const PatternCase& c : pattern_cases(64)) {
    if (c.L > 40) continue;
    INFO(text(c));
    const auto x = random_qkv(c, torch::kBFloat16, torch::kCUDA);
    const auto out = make_segment_pattern(c.form, AttentionBackend::kAuto)
                         ->attend(x.q_BHLD, x.k_BGLD, x.v_BGLD, c.documents);
    for (int64_t i = 0; i + 1 < c.L; ++i) {
      const auto d_v = torch::autograd::grad({out.select(2, i).sum()}, {x.v_BGLD}, {},
                                             /*retain_graph=*/true)[0];
      CHECK(d_v.narrow(2, i + 1, c.L - i - 1).abs().max().item<double>() == 0);
    }
  }
}

TEST_CASE("a model with recomputed layers trains through every pattern on a GPU", "[gpu]") {
  require_cuda();
  auto model = tiny_llama(3, {}, kernel_shape());
  model->to(torch::kCUDA, torch::kBFloat16);
  model->set_compute_dtype(torch::kBFloat16);
  const int64_t H = model->shape().num_heads;
  const auto tokens = (random_tokens(2, 50, 1) % model->shape().vocab_size).to(torch::kCUDA);
  for (const SegmentForm& form : {SegmentForm{16, H / 2, 0}, SegmentForm{16, H / 4, 4}}) {
    const auto pattern = make_segment_pattern(form, AttentionBackend::kAuto);
    const auto gradients_of = [&](bool checkpoint_layers) {
      model->zero_grad();
      weighted_sum(model->forward(tokens, {checkpoint_layers, pattern})).backward();
      return model->model->layers[0]->self_attn->q_proj->weight.grad().clone();
    };
    const auto kept = gradients_of(false), recomputed = gradients_of(true);
    CHECK(relative_error(recomputed, kept) < 2e-2);
  }
}
