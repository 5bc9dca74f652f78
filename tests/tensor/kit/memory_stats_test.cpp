#include "tensor/kit/memory_stats.h"

#include "tensor/kit/torch.h"
#include "tests/support/catch.h"

namespace lococo {

TEST_CASE("Peak memory of a CPU covers what was allocated since the reset", "[tensor][memory]") {
  reset_peak(torch::kCPU);
  const int64_t before = peak_memory_bytes(torch::kCPU);
  REQUIRE(before > 0);
  const int64_t bytes = before + (int64_t{64} << 20);  // more than any peak so far
  { const torch::Tensor touched = torch::ones({bytes}, torch::kUInt8); }
  CHECK(peak_memory_bytes(torch::kCPU) >= before + (int64_t{60} << 20));
}

}  // namespace lococo
