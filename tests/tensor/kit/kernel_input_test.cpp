#include "tensor/kit/kernel_input.h"

#include "tensor/kit/torch.h"
#include "tests/support/catch.h"

using namespace lococo;

TEST_CASE("the rows of a tensor have one stride or none", "[tensor]") {
  const auto x = torch::zeros({3, 4, 6});
  CHECK(row_stride_of(x) == 6);
  CHECK(row_stride_of(x.narrow(2, 1, 4)) == 6);
  CHECK(row_stride_of(x.narrow(0, 1, 1)) == 6);
  CHECK(row_stride_of(x.select(1, 2)) == 24);
  CHECK(row_stride_of(x[0][0]) == 6);
  CHECK(row_stride_of(torch::zeros({1, 1, 1, 5})) == 5);
  CHECK(row_stride_of(torch::zeros({2, 1, 3, 5})) == 5);
  CHECK(row_stride_of(torch::zeros({7}).expand({2, 3, 7})) == 0);
  CHECK_FALSE(row_stride_of(x.narrow(1, 0, 3)).has_value());
  CHECK_FALSE(row_stride_of(x.transpose(0, 1)).has_value());
  CHECK_FALSE(row_stride_of(x.transpose(1, 2)).has_value());
}

TEST_CASE("what a kernel loads starts at 16 bytes, copied where it must be", "[tensor]") {
  const auto x = torch::arange(24, torch::kFloat32);
  CHECK(is_aligned(x));
  CHECK(is_aligned(x.narrow(0, 4, 8)));
  const auto shifted = x.narrow(0, 1, 8);
  CHECK_FALSE(is_aligned(shifted));
  for (const auto& given : {x, shifted, x.view({4, 6}).t()}) {
    const auto ready = kernel_ready(given);
    CHECK((is_aligned(ready) && ready.is_contiguous()));
    CHECK(torch::equal(ready, given));
  }
  CHECK(kernel_ready(x).data_ptr() == x.data_ptr());
}
