#include "lococo/fused_select.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "lococo/selection_kernel.h"
#include "tensor/kit/torch.h"
#include "tests/support/catch.h"
#include "tests/support/policies.h"
#include "tests/support/tensors.h"

using namespace lococo;
using namespace lococo::testing;

TEST_CASE("masses are ranked by integers in the order of the numbers", "[lococo]") {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  constexpr float kTiny = std::numeric_limits<float>::denorm_min();
  const std::vector<float> ascending = {
      -kInfinity, -3.5F,  -1.0F,     -kTiny,
      0.0F,       kTiny,  0.125F,    std::nextafter(0.125F, 1.0F),
      1.0F,       512.0F, kInfinity, std::numeric_limits<float>::quiet_NaN()};
  for (size_t i = 1; i < ascending.size(); ++i) {
    INFO(ascending[i - 1] << " and " << ascending[i]);
    CHECK(ordered_bits(ascending[i - 1]) < ordered_bits(ascending[i]));
  }
}

TEST_CASE("a cache on the CPU is compressed by the reference", "[lococo]") {
  for (const auto& policy_case : all_policies()) {
    INFO(policy_case.name);
    const auto cache = numbered_cache(1, 2, 40, 16, 1, torch::kBFloat16);
    CHECK_FALSE(use_fused_compression(cache, policy_case.cache));
  }
}
