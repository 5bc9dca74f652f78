#include "lococo/selection.h"

#include "tensor/kit/torch.h"
#include "tests/support/catch.h"
#include "tests/support/policies.h"
#include "tests/support/tensors.h"

using namespace lococo;
using namespace lococo::testing;

TEST_CASE("sinks, newest and heaviest slots are kept, in order", "[lococo]") {
  const auto mass = torch::tensor({{{9.0F, 0.0F, 3.0F, 5.0F, 4.0F, 1.0F, 0.5F}}});
  const auto by_mass = select_slots(mass, /*kept=*/3, /*sinks=*/0, /*local=*/0);
  CHECK_SAME(by_mass.kept_BGM.flatten(), torch::tensor({0, 3, 4}));
  CHECK_SAME(by_mass.rest_BGS.flatten(), torch::tensor({1, 2, 5, 6}));
  const auto with_fixed = select_slots(mass, /*kept=*/5, /*sinks=*/2, /*local=*/2);
  CHECK_SAME(with_fixed.kept_BGM.flatten(), torch::tensor({0, 1, 3, 5, 6}));
  CHECK_SAME(with_fixed.rest_BGS.flatten(), torch::tensor({2, 4}));
  const auto fixed_only = select_slots(mass, /*kept=*/4, /*sinks=*/1, /*local=*/3);
  CHECK_SAME(fixed_only.kept_BGM.flatten(), torch::tensor({0, 4, 5, 6}));
}

TEST_CASE("kept and rest are a partition of the slots, also when masses are equal", "[lococo]") {
  const int64_t S = 11;
  const auto mass = GENERATE_COPY(torch::zeros({2, 3, S}), numbered_cache(2, 3, S, 4, 1).mass_BGS,
                                  torch::ones({2, 3, S}).index_fill(2, torch::tensor({3, 7}), 2.0));
  const int64_t kept = GENERATE(0, 1, 5, 10, 11);
  const int64_t sinks = kept >= 5 ? 2 : 0, local = kept >= 5 ? 3 : 0;
  const auto selection = select_slots(mass, kept, sinks, local);
  CHECK(selection.kept_BGM.size(2) == kept);
  const auto all = torch::cat({selection.kept_BGM, selection.rest_BGS}, 2);
  CHECK_SAME(std::get<0>(all.sort(-1)), torch::arange(S).expand({2, 3, S}));
  CHECK((selection.kept_BGM.diff() > 0).all().item<bool>());
  CHECK((selection.rest_BGS.diff() > 0).all().item<bool>());
}

TEST_CASE("a selection that cannot be made is refused", "[lococo]") {
  const auto mass = torch::zeros({1, 1, 6});
  CHECK_THROWS_AS(select_slots(mass, 7, 0, 0), c10::Error);
  CHECK_THROWS_AS(select_slots(mass, 4, 3, 2), c10::Error);
}

TEST_CASE("slots are gathered by head from keys and from masses", "[lococo]") {
  const auto cache = numbered_cache(2, 2, 5, 3, 1);
  const auto index = torch::tensor({{{0, 4}, {1, 2}}, {{3, 1}, {2, 2}}});
  const auto keys = gather_slots(cache.k_BGSD, index);
  const auto masses = gather_slots(cache.mass_BGS, index);
  for (int64_t b = 0; b < 2; ++b) {
    for (int64_t g = 0; g < 2; ++g) {
      CHECK_SAME(keys[b][g], cache.k_BGSD[b][g].index_select(0, index[b][g]));
      CHECK_SAME(masses[b][g], cache.mass_BGS[b][g].index_select(0, index[b][g]));
    }
  }
}
