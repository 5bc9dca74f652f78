#include "tensor/attention/attention_recall.h"

#include "tensor/attention/attention.h"
#include "tensor/kit/torch.h"
#include "tests/support/catch.h"
#include "tests/support/gradcheck.h"
#include "tests/support/tensors.h"

using namespace lococo;
using namespace lococo::testing;

TEST_CASE("a recalled attention has the output and the gradients of one that is computed",
          "[tensor]") {
  const auto backend = GENERATE(AttentionBackend::kReference, AttentionBackend::kFlash);
  const int64_t G = GENERATE(4, 2, 1);
  const auto q = normal({2, 4, 19, 8}, 1).requires_grad_(true);
  const auto k = normal({2, G, 19, 8}, 2).requires_grad_(true);
  const auto v = normal({2, G, 19, 8}, 3).requires_grad_(true);
  const auto memo = remember_attention(q, k, v, backend);
  CHECK_FALSE(memo.out_BHLD.requires_grad());
  const auto computed = causal_attention(q, k, v, backend).out_BHLD;
  const auto recalled = recall_attention(q, k, v, memo);
  CHECK_SAME(recalled, computed);
  const auto want = torch::autograd::grad({weighted_sum(computed)}, {q, k, v});
  const auto got = torch::autograd::grad({weighted_sum(recalled)}, {q, k, v});
  for (size_t i = 0; i < want.size(); ++i) CHECK_CLOSE(got[i], want[i]);
}

TEST_CASE("some heads at a time go backward in the memory of what they are gradients of",
          "[tensor]") {
  const int64_t G = GENERATE(4, 2), heads = GENERATE(1, 3, 4, 7);
  const auto q = normal({2, 4, 19, 8}, 1).requires_grad_(true);
  const auto k = normal({2, G, 19, 8}, 2).requires_grad_(true);
  const auto v = normal({2, G, 19, 8}, 3).requires_grad_(true);
  const auto memo = remember_attention(q, k, v, AttentionBackend::kFlash);
  const auto want =
      torch::autograd::grad({weighted_sum(recall_attention(q, k, v, memo))}, {q, k, v});
  const auto out = recall_attention(q, k, v, memo, heads);
  const auto got = torch::autograd::grad({weighted_sum(out)}, {q, k, v});
  for (size_t i = 0; i < want.size(); ++i) CHECK_CLOSE(got[i], want[i]);
  CHECK(got[0].is_alias_of(q) == (heads < 4));
  CHECK(got[2].is_alias_of(v) == (heads < 4 && G == 4));  // repeated heads are a copy
}

TEST_CASE("a long sequence's heads go backward in parts, a short one's together", "[tensor]") {
  CHECK(heads_at_once(1, 32768) == 16);
  CHECK(heads_at_once(2, 32768) == 8);
  CHECK(heads_at_once(1, 4096) >= 128);
  CHECK(heads_at_once(1, int64_t{1} << 30) == 1);
}

TEST_CASE("a fused attention is recalled and not computed again", "[tensor]") {
  const auto q = normal({1, 2, 5, 8}, 1), k = normal({1, 2, 5, 8}, 2), v = normal({1, 2, 5, 8}, 3);
  auto memo = remember_attention(q, k, v, AttentionBackend::kFlash);
  memo.out_BHLD = torch::full_like(memo.out_BHLD, 7.0);
  CHECK_SAME(recall_attention(q, k, v, memo), memo.out_BHLD);
}
