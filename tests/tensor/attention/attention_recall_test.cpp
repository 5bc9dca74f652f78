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

TEST_CASE("a fused attention is recalled and not computed again", "[tensor]") {
  const auto q = normal({1, 2, 5, 8}, 1), k = normal({1, 2, 5, 8}, 2), v = normal({1, 2, 5, 8}, 3);
  auto memo = remember_attention(q, k, v, AttentionBackend::kFlash);
  memo.out_BHLD = torch::full_like(memo.out_BHLD, 7.0);
  CHECK_SAME(recall_attention(q, k, v, memo), memo.out_BHLD);
}
