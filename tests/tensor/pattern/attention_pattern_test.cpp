#include "tensor/pattern/attention_pattern.h"

#include "tensor/attention/attention.h"
#include "tensor/kit/torch.h"
#include "tensor/pattern/masked_attention.h"
#include "tests/support/catch.h"
#include "tests/support/gradcheck.h"
#include "tests/support/pattern_cases.h"
#include "tests/support/tensors.h"

using namespace lococo;
using namespace lococo::testing;

namespace {

/// Outputs of the first of four channels where all scores are equal and the value of key j is j:
/// each is the mean of the visible j. [H, L]
torch::Tensor means(const SegmentForm& form, int64_t H, int64_t L, AttentionBackend backend) {
  const auto zeros = torch::zeros({1, H, L, 4}, torch::kFloat64);
  const auto values = torch::arange(L, torch::kFloat64).view({1, 1, L, 1}).expand({1, H, L, 4});
  const auto pattern = make_segment_pattern(form, backend);
  return pattern->attend(zeros, zeros, values.contiguous(), {})[0].select(/*dim=*/2, 0);
}

torch::Tensor row(const std::vector<double>& values) {
  return torch::tensor(values, torch::kFloat64);
}

std::vector<torch::Tensor> gradients(const torch::Tensor& out, const PatternQkv& x) {
  return torch::autograd::grad({weighted_sum(out)}, {x.q_BHLD, x.k_BGLD, x.v_BGLD});
}

}  // namespace

TEST_CASE("S2-Attn sees what LongLoRA's segments hold, and no later token", "[tensor]") {
  const auto backend = GENERATE(AttentionBackend::kReference, AttentionBackend::kFlash);
  const auto out_HL = means({/*group=*/4, /*shifted_heads=*/1}, 2, 16, backend);
  CHECK_CLOSE(out_HL[0], row({0, .5, 1, 1.5, 4, 4.5, 5, 5.5, 8, 8.5, 9, 9.5, 12, 12.5, 13, 13.5}));
  // The official plain form gives 9.67 and 7.5 for the first two: it looks ahead.
  CHECK_CLOSE(out_HL[1],
              row({0, .5, 2, 2.5, 3, 3.5, 6, 6.5, 7, 7.5, 10, 10.5, 11, 11.5, 14, 14.5}));
}

TEST_CASE("SF-Attn sees its segment and the sinks, each once", "[tensor]") {
  const auto backend = GENERATE(AttentionBackend::kReference, AttentionBackend::kFlash);
  const auto out_HL = means({/*group=*/4, /*shifted_heads=*/1, /*sinks=*/2}, 4, 16, backend);
  const auto straight = row(
      {0, .5, 1, 1.5, 5.0 / 3, 2.5, 3.2, 23.0 / 6, 3, 4.5, 5.6, 6.5, 13.0 / 3, 6.5, 8, 55.0 / 6});
  for (int64_t h = 0; h < 3; ++h) CHECK_CLOSE(out_HL[h], straight);
  CHECK_CLOSE(out_HL[3], row({0, .5, 1, 1.5, 2, 2.5, 7.0 / 3, 3.5, 4.4, 31.0 / 6, 11.0 / 3, 5.5,
                              6.8, 47.0 / 6, 5, 7.5}));
  const auto visible_HLL = visible_keys({4, 1, 2}, {}, 4, 16)[0];
  CHECK_SAME(visible_HLL[0][9].nonzero().flatten(), torch::tensor({0, 1, 8, 9}));
  CHECK_SAME(visible_HLL[3][9].nonzero().flatten(), torch::tensor({0, 1, 6, 7, 8, 9}));
}

TEST_CASE("segments through kernels agree with the dense mask, gradients included", "[tensor]") {
  const auto dtype = GENERATE(torch::kFloat32, torch::kFloat64, torch::kBFloat16);
  for (const PatternCase& c : pattern_cases()) {
    INFO(dtype << " " << text(c));
    const auto x = random_qkv(c, dtype);
    const auto slow = masked_attention(x.q_BHLD, x.k_BGLD, x.v_BGLD, c.form, c.documents);
    const auto fast = make_segment_pattern(c.form, AttentionBackend::kFlash)
                          ->attend(x.q_BHLD, x.k_BGLD, x.v_BGLD, c.documents);
    CHECK(fast.scalar_type() == dtype);
    CHECK_CLOSE(fast, slow);
    const auto got = gradients(fast, x), want = gradients(slow, x);
    // Each part's gradients are rounded to bfloat16 before they are added up.
    const double factor = dtype == torch::kBFloat16 ? 4.0 : 1.0;
    for (size_t i = 0; i < want.size(); ++i) CHECK_CLOSE(got[i], want[i], factor);
  }
}

TEST_CASE("the merge of segments and sinks has the gradient that differences give", "[tensor]") {
  // Sinks beyond the first shifted segment, grouped heads cut by the border, two documents.
  PatternCase c;
  c.H = 6, c.G = 2, c.L = 11, c.D = 4;
  c.form = {/*group=*/4, /*shifted_heads=*/2, /*sinks=*/3};
  c.documents = GENERATE(Documents{}, Documents{{{{0, 4}, {4, 11}}}});
  std::vector<torch::Tensor> qkv;
  for (const int64_t heads : {c.H, c.G, c.G}) {
    const auto seed = static_cast<uint64_t>(qkv.size());
    qkv.push_back(normal({1, heads, c.L, c.D}, seed, torch::kFloat64).requires_grad_(true));
  }
  const auto pattern = make_segment_pattern(c.form, AttentionBackend::kFlash);
  const auto loss = [&] {
    return weighted_sum(pattern->attend(qkv[0], qkv[1], qkv[2], c.documents));
  };
  CHECK(gradient_error(loss, qkv) == "");
}

TEST_CASE("a recalled pattern has the output and the gradients of one that is computed",
          "[tensor]") {
  const auto backend = GENERATE(AttentionBackend::kReference, AttentionBackend::kFlash);
  for (const PatternCase& c : pattern_cases()) {
    INFO(text(c));
    const auto x = random_qkv(c, torch::kFloat32);
    for (const auto& pattern :
         {make_segment_pattern(c.form, backend), make_full_pattern(backend)}) {
      const auto computed = pattern->attend(x.q_BHLD, x.k_BGLD, x.v_BGLD, c.documents);
      const auto memo = pattern->remember(x.q_BHLD, x.k_BGLD, x.v_BGLD, c.documents);
      CHECK_FALSE(memo.out_BHLD.requires_grad());
      const auto recalled = pattern->recall(x.q_BHLD, x.k_BGLD, x.v_BGLD, c.documents, memo);
      CHECK_SAME(recalled, computed);
      const auto got = gradients(recalled, x), want = gradients(computed, x);
      for (size_t i = 0; i < want.size(); ++i) CHECK_SAME(got[i], want[i]);
    }
  }
}

TEST_CASE("gradients in the memory of queries, keys and values are the same", "[tensor]") {
  for (const PatternCase& c : pattern_cases()) {
    INFO(text(c));
    const auto pattern = make_segment_pattern(c.form, AttentionBackend::kFlash);
    const auto x = random_qkv(c, torch::kFloat32);
    auto memo = pattern->remember(x.q_BHLD, x.k_BGLD, x.v_BGLD, c.documents);
    const auto recalled = [&] {
      return pattern->recall(x.q_BHLD, x.k_BGLD, x.v_BGLD, c.documents, memo);
    };
    const auto want = gradients(recalled(), x);
    CHECK_FALSE(want[0].is_alias_of(x.q_BHLD));
    memo.overwrites = true;
    const auto got = gradients(recalled(), x);
    for (size_t i = 0; i < want.size(); ++i) CHECK_SAME(got[i], want[i]);
    // Not where a key is in several calls: among sinks, or of heads that the shift divides.
    const bool once =
        c.documents.empty() && c.form.sinks == 0 && c.form.shifted_heads % (c.H / c.G) == 0;
    CHECK(got[0].is_alias_of(x.q_BHLD) == once);
    CHECK(got[2].is_alias_of(x.v_BGLD) == once);
  }
}

TEST_CASE("one group and no shift is full attention, bit for bit", "[tensor]") {
  const int64_t group = GENERATE(13, 100);
  PatternCase c;
  c.B = 2, c.H = 4, c.G = 2, c.L = 13, c.D = 8;
  c.form.group = group;
  const auto x = random_qkv(c, torch::kFloat32);
  const auto full = causal_attention(x.q_BHLD, x.k_BGLD, x.v_BGLD, AttentionBackend::kAuto);
  const auto segments = make_segment_pattern(c.form, AttentionBackend::kAuto)
                            ->attend(x.q_BHLD, x.k_BGLD, x.v_BGLD, {});
  CHECK_SAME(segments, full.out_BHLD);
  const auto got = gradients(segments, x), want = gradients(full.out_BHLD, x);
  for (size_t i = 0; i < want.size(); ++i) CHECK_SAME(got[i], want[i]);
}

TEST_CASE("no output of a pattern depends on a later value, nor on another document", "[tensor]") {
  const auto backend = GENERATE(AttentionBackend::kReference, AttentionBackend::kFlash);
  for (const PatternCase& c : pattern_cases()) {
    if (c.L > 40) continue;
    INFO(text(c));
    const auto x = random_qkv(c, torch::kFloat64);
    const auto out_BHLD =
        make_segment_pattern(c.form, backend)->attend(x.q_BHLD, x.k_BGLD, x.v_BGLD, c.documents);
    const auto visible_BHLL = visible_keys(c.form, c.documents, c.H, c.L).expand({c.B, -1, -1, -1});
    for (int64_t i = 0; i < c.L; ++i) {
      const auto grad_BGLD = torch::autograd::grad({out_BHLD.select(2, i).sum()}, {x.v_BGLD}, {},
                                                   /*retain_graph=*/true)[0];
      const auto reached_BGL = grad_BGLD.abs().sum(-1) > 0;
      const auto seen_BGL = visible_BHLL.select(2, i).unflatten(1, {c.G, -1}).any(/*dim=*/2);
      CHECK_SAME(reached_BGL, seen_BGL);
      CHECK_FALSE(seen_BGL.narrow(2, i + 1, c.L - i - 1).any().item<bool>());
    }
  }
}

TEST_CASE("documents of a row get what each would get alone, and padding nothing", "[tensor]") {
  const auto backend = GENERATE(AttentionBackend::kReference, AttentionBackend::kFlash);
  PatternCase c;
  c.B = 2, c.H = 4, c.G = 2, c.L = 23, c.D = 8;
  c.form = {/*group=*/4, /*shifted_heads=*/2, /*sinks=*/2};
  c.documents = {{{{2, 9}, {9, 10}, {10, 21}}, {{0, 23}}}};  // padding on both sides of the first
  const auto x = random_qkv(c, torch::kFloat32);
  for (const auto& pattern : {make_segment_pattern(c.form, backend), make_full_pattern(backend)}) {
    const auto packed = pattern->attend(x.q_BHLD, x.k_BGLD, x.v_BGLD, c.documents);
    for (int64_t b = 0; b < c.B; ++b) {
      for (const auto& [begin, end] : c.documents.rows[static_cast<size_t>(b)]) {
        const auto part = [&, first = begin, length = end - begin](const torch::Tensor& t) {
          return t.narrow(0, b, 1).narrow(2, first, length);
        };
        CHECK_CLOSE(part(packed),
                    pattern->attend(part(x.q_BHLD), part(x.k_BGLD), part(x.v_BGLD), {}));
      }
    }
    CHECK(packed[0].narrow(1, 0, 2).abs().max().item<double>() == 0);
    CHECK(packed[0].narrow(1, 21, 2).abs().max().item<double>() == 0);
    for (const auto& gradient : gradients(packed, x)) {
      CHECK(torch::isfinite(gradient).all().item<bool>());
      CHECK(gradient[0].narrow(1, 21, 2).abs().max().item<double>() == 0);
    }
  }
}

TEST_CASE("a pattern treats the rows of a batch alike", "[tensor]") {
  const auto backend = GENERATE(AttentionBackend::kReference, AttentionBackend::kFlash);
  PatternCase c;
  c.B = 3, c.H = 4, c.G = 2, c.L = 19, c.D = 8;
  c.form = {/*group=*/5, /*shifted_heads=*/2, /*sinks=*/2};
  const auto x = random_qkv(c, torch::kFloat32);
  const auto order = torch::tensor({2, 0, 1});
  const auto moved = [&](const torch::Tensor& t) { return t.index_select(0, order); };
  const auto pattern = make_segment_pattern(c.form, backend);
  const auto out = pattern->attend(x.q_BHLD, x.k_BGLD, x.v_BGLD, {});
  CHECK_CLOSE(pattern->attend(moved(x.q_BHLD), moved(x.k_BGLD), moved(x.v_BGLD), {}), moved(out));
}

TEST_CASE("documents that overlap or leave the row are refused", "[tensor]") {
  const auto documents =
      GENERATE(Documents{{{{0, 3}, {2, 5}}}}, Documents{{{{0, 9}}}}, Documents{{{{3, 3}}}});
  CHECK_THROWS_AS(visible_keys({}, documents, 2, 8), c10::Error);
  const auto x = torch::zeros({1, 2, 8, 4});
  CHECK_THROWS_AS(make_full_pattern(AttentionBackend::kFlash)->attend(x, x, x, documents),
                  c10::Error);
}
