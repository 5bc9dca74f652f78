// Linear layers of a few rows: the kernel against tensor operations.
#include "tensor/kit/torch.h"
#include "tensor/layers/skinny_linear.h"
#include "tests/support/catch.h"
#include "tests/support/gpu.h"
#include "tests/support/tensors.h"

using namespace lococo;
using namespace lococo::testing;

namespace {

struct LinearShape {
  int64_t M, K;
  std::vector<int64_t> N;
};

torch::Tensor cpu(const torch::Tensor& x) { return x.cpu().to(torch::kFloat32); }

const std::vector<LinearShape>& linear_shapes() {
  static const std::vector<LinearShape> list = {{1, 4096, {4096, 4096, 4096}},
                                                {1, 8, {1}},
                                                {2, 264, {7, 3, 130}},
                                                {3, 1024, {6, 1}},
                                                {4, 4096, {512, 128}},
                                                {4, 11008, {260}},
                                                {1, 11008, {4096}},
                                                {3, 2056, {33, 33}},
                                                {1, 4096, {32001}}};
  return list;
}

}  // namespace

TEST_CASE("skinny linear layers agree with tensor operations", "[gpu]") {
  require_cuda();
  for (const auto& s : linear_shapes()) {
    INFO("M=" << s.M << " K=" << s.K << " N=" << s.N[0]);
    const auto x = on_gpu({s.M, s.K}, 1);
    REQUIRE(has_skinny_kernel(x));
    // Sums of K products, brought back to the size of one so that tolerances mean the same.
    const double scale = 1.0 / std::sqrt(static_cast<double>(s.K));
    std::vector<torch::Tensor> weights, weights_cpu;
    for (size_t i = 0; i < s.N.size(); ++i) {
      weights.push_back(on_gpu({s.N[i], s.K}, 2 + i) * scale);
      weights_cpu.push_back(cpu(weights.back()));
    }
    const SkinnyNorm norm = {on_gpu({s.K}, 9), 1e-5};
    const SkinnyNorm norm_cpu = {cpu(norm.weight_K), 1e-5};
    for (const bool normed : {false, true}) {
      const auto got = skinny_linear(x, normed ? norm : SkinnyNorm(), weights);
      const auto want = skinny_linear(cpu(x), normed ? norm_cpu : SkinnyNorm(), weights_cpu);
      REQUIRE(got.size() == want.size());
      for (size_t i = 0; i < got.size(); ++i) {
        CHECK(got[i].scalar_type() == torch::kBFloat16);
        CHECK_CLOSE(got[i], want[i]);
      }
    }
    const auto residual = on_gpu({s.M, s.N[0]}, 10);
    CHECK_CLOSE(skinny_linear_add(x, weights[0], residual),
                skinny_linear_add(cpu(x), weights_cpu[0], cpu(residual)));
    const auto up = weights[0].flip(0).contiguous();
    CHECK_CLOSE(skinny_swiglu(x, norm, weights[0], up),
                skinny_swiglu(cpu(x), norm_cpu, weights_cpu[0], cpu(up)), /*factor=*/2.0);
    const auto wide = skinny_linear_wide(x, SkinnyNorm(), weights[0]);
    CHECK(wide.scalar_type() == torch::kFloat32);
    // float32 sums in another order
    CHECK_CLOSE(wide, skinny_linear_wide(cpu(x), SkinnyNorm(), weights_cpu[0]), /*factor=*/10.0);
    CHECK_SAME(skinny_linear_wide(x, SkinnyNorm(), weights[0]), wide);
  }
}

TEST_CASE("more rows and other types go through the library", "[gpu]") {
  require_cuda();
  CHECK_FALSE(has_skinny_kernel(on_gpu({5, 64}, 1)));
  CHECK_FALSE(has_skinny_kernel(on_gpu({1, 12}, 1)));
  CHECK_FALSE(has_skinny_kernel(on_gpu({1, 64}, 1).to(torch::kFloat32)));
  const auto x = on_gpu({5, 64}, 1), weight = on_gpu({9, 64}, 2);
  const SkinnyNorm norm = {on_gpu({64}, 3), 1e-5};
  const auto got = skinny_linear(x, norm, {weight})[0];
  CHECK_CLOSE(got, skinny_linear(cpu(x), {cpu(norm.weight_K), 1e-5}, {cpu(weight)})[0], 8.0);
}
