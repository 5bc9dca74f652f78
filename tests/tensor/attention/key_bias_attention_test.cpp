#include "tensor/attention/key_bias_attention.h"

#include "tensor/kit/torch.h"
#include "tests/support/catch.h"
#include "tests/support/tensors.h"

using namespace lococo;
using namespace lococo::testing;

TEST_CASE("a bias of zero is plain causal attention, and a large one hides a key", "[tensor]") {
  const auto q = normal({2, 4, 3, 8}, 1), k = normal({2, 2, 9, 8}, 2), v = normal({2, 2, 9, 8}, 3);
  const auto zero = torch::zeros({2, 2, 9});
  const auto plain = causal_attention(q, k, v, AttentionBackend::kReference);
  const auto same = key_bias_attention(q, k, v, zero);
  CHECK_CLOSE(same.out_BHLD, plain.out_BHLD);
  CHECK_CLOSE(same.lse_BHL, plain.lse_BHL);
  auto hidden = zero.clone();
  hidden.select(2, 0).fill_(-1e4);
  CHECK_CLOSE(
      key_bias_attention(q, k, v, hidden).out_BHLD,
      causal_attention(q, k.narrow(2, 1, 8), v.narrow(2, 1, 8), AttentionBackend::kReference)
          .out_BHLD);
}
