#include "lococo/cache_state.h"

#include "tensor/kit/torch.h"
#include "tests/support/catch.h"
#include "tests/support/tensors.h"

using namespace lococo;
using namespace lococo::testing;

namespace {

/// Homes of six slots for keys, values and masses; the other two are undefined.
CacheState state_of_six() {
  CacheState state;
  state.k_home_BGCD = normal({1, 2, 6, 4}, 1);
  state.v_home_BGCD = normal({1, 2, 6, 4}, 2);
  state.mass_home_BGC = normal({1, 2, 6}, 3);
  return state;
}

}  // namespace

TEST_CASE("what is copied of a home and put back is what was there", "[lococo]") {
  CacheState state = state_of_six();
  const CacheState whole = state.copy_of_home(6), first = state.copy_of_home(3);
  CHECK(first.size() == 3);
  CHECK_FALSE(first.k_home_BGCD.defined());
  CHECK_FALSE(first.score_BGS.defined());
  state.k_home_BGCD.zero_();
  state.mass_home_BGC.zero_();
  CHECK_SAME(first.k_BGSD, whole.k_BGSD.narrow(2, 0, 3));  // a copy, not a view
  state.put_into_home(first);
  CHECK_SAME(state.k_home_BGCD.narrow(2, 0, 3), first.k_BGSD);
  CHECK(state.k_home_BGCD.narrow(2, 3, 3).abs().max().item<float>() == 0.0f);
  CHECK_SAME(state.mass_home_BGC.narrow(2, 0, 3), first.mass_BGS);
  CHECK(state.size() == 0);
  state.put_into_home(whole);
  CHECK_SAME(state.v_home_BGCD, whole.v_BGSD);
}

TEST_CASE("later slots of a home are moved to its beginning though they overlap it", "[lococo]") {
  CacheState state = state_of_six();
  const auto before = state.k_home_BGCD.clone();
  CacheState later;
  later.k_BGSD = state.k_home_BGCD.narrow(2, 1, 5);
  state.put_into_home(later);
  CHECK_SAME(state.k_home_BGCD.narrow(2, 0, 5), before.narrow(2, 1, 5));
}

TEST_CASE("a home's bytes are those of the tensors that it has", "[lococo]") {
  CHECK(CacheState().home_bytes() == 0);
  CHECK(state_of_six().home_bytes() == 4 * (2 * 2 * 6 * 4 + 2 * 6));
}
