// Seeded random tensors, and the one table of tolerances that they are compared with.
#pragma once

#include <torch/types.h>

#include <string>

namespace lococo::testing {

/// |got - want| <= absolute + relative * |want|
struct Tolerance {
  double absolute = 0.0;
  double relative = 0.0;
};

/// The table. A test that needs more passes a `factor` to CHECK_CLOSE and says why.
Tolerance tolerance_of(torch::ScalarType dtype);

/// Empty when `got` and `want` have the same shape and their elements are close by the table's
/// entry for the coarser of the two dtypes, times `factor`; else shapes, dtypes, the largest
/// differences and where. Values that are not finite are close to equal values only.
std::string difference(const torch::Tensor& got, const torch::Tensor& want, double factor = 1.0);

/// Standard normal values from `seed`; drawn in float64, so that a seed means the same values in
/// every dtype.
torch::Tensor normal(at::IntArrayRef sizes, uint64_t seed,
                     torch::ScalarType dtype = torch::kFloat32);

/// |got - want| / |want| of the whole tensors, in float64.
double relative_error(const torch::Tensor& got, const torch::Tensor& want);

/// CHECKs that a tensor (got) is close to another (want), and shows the difference when not.
#define CHECK_CLOSE(...) CHECK(::lococo::testing::difference(__VA_ARGS__) == "")

/// CHECKs that two tensors hold the same bits.
#define CHECK_SAME(got, want) CHECK(torch::equal((got), (want)))

}  // namespace lococo::testing
