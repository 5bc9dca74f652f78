// The kernel behind append_slots() against a concatenation.
#include "lococo/cache_state.h"
#include "tensor/kit/torch.h"
#include "tests/support/catch.h"
#include "tests/support/gpu.h"
#include "tests/support/gradcheck.h"
#include "tests/support/tensors.h"

using namespace lococo;
using namespace lococo::testing;

TEST_CASE("slots appended on a GPU are the concatenation, gradients included", "[gpu]") {
  require_cuda();
  struct Case {
    int64_t B, G, M, L, C, D;
  };
  for (const auto dtype : {torch::kBFloat16, torch::kFloat32}) {
    for (const auto& c : std::vector<Case>{{1, 32, 512, 512, 1024, 128},
                                           {2, 3, 37, 21, 70, 64},
                                           {3, 1, 0, 9, 9, 32},
                                           {1, 2, 5, 1, 8, 20}}) {
      INFO(dtype << " M=" << c.M << " L=" << c.L << " D=" << c.D);
      auto past = on_gpu({c.B, c.G, c.M, c.D}, 1, dtype).requires_grad_(true);
      // As a projection delivers it: [B, L, G, D] seen as [B, G, L, D].
      auto fresh =
          on_gpu({c.B, c.L, c.G, c.D}, 2, dtype).transpose(1, 2).detach().requires_grad_(true);
      const auto home = torch::full({c.B, c.G, c.C, c.D}, NAN, past.options().requires_grad(false));
      const auto got = append_slots(past, fresh, home);
      const auto want = torch::cat({past, fresh}, /*dim=*/2);
      CHECK(got.const_data_ptr() == home.const_data_ptr());
      CHECK_SAME(got, want);
      if (c.M == 0) continue;
      const auto gradients = torch::autograd::grad({weighted_sum(got)}, {past, fresh});
      const auto expected = torch::autograd::grad({weighted_sum(want)}, {past, fresh});
      for (size_t i = 0; i < 2; ++i) CHECK_SAME(gradients[i], expected[i]);
    }
  }
}

TEST_CASE("slots that lie in their home on a GPU stay there", "[gpu]") {
  require_cuda();
  const auto home = on_gpu({2, 2, 24, 64}, 1, torch::kBFloat16);
  const auto before = home.clone(), fresh = on_gpu({2, 2, 6, 64}, 2, torch::kBFloat16);
  const auto got = append_slots(home.narrow(2, 0, 16), fresh, home);
  CHECK_SAME(got, torch::cat({before.narrow(2, 0, 16), fresh}, 2));
  CHECK_SAME(home.narrow(2, 22, 2), before.narrow(2, 22, 2));
  // Later slots of the home itself, as a window of newest tokens is.
  const auto shifted = append_slots(before.narrow(2, 4, 8).clone(), fresh, home);
  CHECK_SAME(shifted, torch::cat({before.narrow(2, 4, 8), fresh}, 2));
  home.copy_(before);
  CHECK_SAME(append_slots(home.narrow(2, 4, 8), fresh, home),
             torch::cat({before.narrow(2, 4, 8), fresh}, 2));
}
