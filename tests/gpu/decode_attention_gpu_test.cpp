// Attention of one token: both kernels against tensor operations.
#include <ATen/cuda/CUDAContext.h>

#include "tensor/attention/decode_attention.h"
#include "tensor/kit/torch.h"
#include "tests/support/catch.h"
#include "tests/support/gpu.h"
#include "tests/support/tensors.h"

using namespace lococo;
using namespace lococo::testing;

namespace {

bool has_clusters() { return at::cuda::getDeviceProperties(kGpu.index())->major >= 9; }

struct AttentionShape {
  int64_t B, H, G, C, D;
};

std::string text(const AttentionShape& s) {
  std::ostringstream out;
  out << "B=" << s.B << " H=" << s.H << " G=" << s.G << " C=" << s.C << " D=" << s.D;
  return out.str();
}

const std::vector<AttentionShape>& attention_shapes() {
  static const std::vector<AttentionShape> list = {
      {1, 32, 32, 577, 128}, {2, 4, 2, 70, 64},    {3, 6, 2, 33, 96},  {1, 8, 1, 1000, 128},
      {1, 5, 1, 41, 64},     {1, 16, 1, 129, 96},  {2, 9, 1, 65, 128}, {70, 32, 8, 300, 128},
      {1, 2, 2, 1, 64},      {3, 2, 1, 2001, 128}, {2, 3, 3, 5, 96},   {40, 12, 4, 90, 64}};
  return list;
}

/// A cache half filled with sense, the rest with old numbers.
struct AttentionCase {
  AttentionCase(const AttentionShape& s, int64_t slot, bool rotate_cache, bool mass) {
    // As the decoder has them: parts of one product.
    const auto qkv_BND = on_gpu({s.B, s.H + 2 * s.G, s.D}, 1);
    q_BHD = qkv_BND.narrow(1, 0, s.H);
    k_BGD = qkv_BND.narrow(1, s.H, s.G);
    v_BGD = qkv_BND.narrow(1, s.H + s.G, s.G);
    // An odd capacity is part of longer memory.
    const int64_t home = s.C % 2 == 0 ? s.C : s.C + 5;
    cache.k_BGCD = on_gpu({s.B, s.G, home, s.D}, 4).narrow(2, 0, s.C);
    cache.v_BGCD = on_gpu({s.B, s.G, home, s.D}, 5).narrow(2, 0, s.C);
    if (mass) cache.mass_BGC = normal({s.B, s.G, home}, 6).abs().to(kGpu).narrow(2, 0, s.C);
    // Rows are positions of their own where the cache holds rotated keys.
    const int64_t rows = s.C + 3, row = rotate_cache ? slot : slot + 3;
    const auto angles = normal({rows, s.D / 2}, 7).repeat({1, 2}).to(kGpu);
    position.cos_RXD = angles.cos().unsqueeze(0);
    position.sin_RXD = angles.sin().unsqueeze(0);
    position.rotate_cache = rotate_cache;
    position.cursor_B2 = torch::tensor({slot, row}, torch::kInt32).repeat({s.B, 1}).to(kGpu);
  }

  torch::Tensor q_BHD, k_BGD, v_BGD;
  DecodeCache cache;
  DecodePosition position;
};

double largest_relative(const torch::Tensor& got, const torch::Tensor& want) {
  return ((got - want).abs() / (want.abs() + 1e-6)).max().item<double>();
}

void compare_kernel(const AttentionShape& s, int64_t slot, bool rotate_cache, bool mass,
                    int64_t distance, DecodeKernel kernel) {
  const bool clusters = kernel == DecodeKernel::Clusters;
  INFO(text(s) << " slot=" << slot << " rotate_cache=" << rotate_cache << " mass=" << mass
               << " distance=" << distance << " clusters=" << clusters);
  AttentionCase x(s, slot, rotate_cache, mass);
  DecodeAttention attention(s.B, s.H, s.G, s.C, s.D, x.q_BHD, distance, kernel);
  REQUIRE(attention.has_kernel());
  REQUIRE(attention.uses_clusters(rotate_cache) == (clusters && has_clusters()));
  DecodeCache wide = {x.cache.k_BGCD.to(torch::kFloat32), x.cache.v_BGCD.to(torch::kFloat32),
                      mass ? x.cache.mass_BGC.clone() : torch::Tensor()};
  const auto want =
      decode_attention_reference(x.q_BHD.to(torch::kFloat32), x.k_BGD.to(torch::kFloat32),
                                 x.v_BGD.to(torch::kFloat32), wide, x.position, distance);
  const auto got = attention.forward(x.q_BHD, x.k_BGD, x.v_BGD, x.cache, x.position);
  CHECK_CLOSE(got, want);
  CHECK_CLOSE(x.cache.k_BGCD, wide.k_BGCD);
  CHECK_SAME(x.cache.v_BGCD.to(torch::kFloat32), wide.v_BGCD);
  // The new key is rounded before it is scored, and only there do the two differ by more than the
  // order of a sum.
  if (mass) CHECK(largest_relative(x.cache.mass_BGC, wide.mass_BGC) < 0.03);
}

void compare_attention(const AttentionShape& s, int64_t slot, bool rotate_cache, bool mass,
                       int64_t distance) {
  for (const auto kernel : {DecodeKernel::Clusters, DecodeKernel::Parts})
    compare_kernel(s, slot, rotate_cache, mass, distance, kernel);
}

}  // namespace

TEST_CASE("the decode attention kernels agree with tensor operations", "[gpu]") {
  require_cuda();
  for (const auto& s : attention_shapes()) {
    for (const int64_t slot : {int64_t{0}, s.C / 3, s.C / 2, s.C - 1}) {
      compare_attention(s, slot, /*rotate_cache=*/false, /*mass=*/true, slot % 7);
      compare_attention(s, slot, /*rotate_cache=*/true, /*mass=*/true, slot % 7);
    }
    compare_attention(s, s.C - 1, false, /*mass=*/false, /*distance=*/0);
  }
  const AttentionShape edges = {1, 4, 4, 300, 128};
  for (int64_t slot = 0; slot < edges.C; slot += 7)
    compare_attention(edges, slot, true, true, slot % 5);
  // One slot counts, none, and none with a distance beyond the cache.
  const int64_t slot = 200;
  for (const int64_t distance : {slot, slot + 1, edges.C + 3})
    compare_attention(edges, slot, true, true, distance);
}

TEST_CASE("keys at places of the text are turned by their places in both kernels", "[gpu]") {
  require_cuda();
  for (const AttentionShape& s : {AttentionShape{2, 4, 2, 70, 64}, {1, 4, 1, 577, 128}}) {
    const int64_t slot = s.C - 3;
    for (const auto kernel : {DecodeKernel::Clusters, DecodeKernel::Parts}) {
      INFO(text(s) << " clusters=" << (kernel == DecodeKernel::Clusters));
      AttentionCase x(s, slot, /*rotate_cache=*/true, /*mass=*/true);
      // Some order of places: a row of the table for each slot, another in each head.
      const int64_t home = x.cache.mass_BGC.stride(1), rows = s.C + 3;
      const auto numbers = torch::arange(s.B * s.G * home, torch::kInt32).view({s.B, s.G, home});
      x.cache.place_BGC =
          numbers.mul(5).remainder(rows).to(torch::kInt32).to(kGpu).narrow(2, 0, s.C);
      x.position.cursor_B2.select(1, 1).fill_(slot + 2);
      DecodeCache wide = {x.cache.k_BGCD.to(torch::kFloat32), x.cache.v_BGCD.to(torch::kFloat32),
                          x.cache.mass_BGC.clone(), x.cache.place_BGC.clone()};
      const auto want =
          decode_attention_reference(x.q_BHD.to(torch::kFloat32), x.k_BGD.to(torch::kFloat32),
                                     x.v_BGD.to(torch::kFloat32), wide, x.position);
      DecodeAttention attention(s.B, s.H, s.G, s.C, s.D, x.q_BHD, /*distance=*/0, kernel);
      CHECK_CLOSE(attention.forward(x.q_BHD, x.k_BGD, x.v_BGD, x.cache, x.position), want);
      CHECK_SAME(x.cache.place_BGC, wide.place_BGC);
      CHECK(largest_relative(x.cache.mass_BGC, wide.mass_BGC) < 0.03);
    }
  }
}

TEST_CASE("a cache too large for the shared memory of a cluster takes the other kernel", "[gpu]") {
  require_cuda();
  const AttentionShape s = {1, 2, 2, 6000, 128};
  AttentionCase x(s, s.C - 1, /*rotate_cache=*/true, /*mass=*/true);
  DecodeAttention attention(s.B, s.H, s.G, s.C, s.D, x.q_BHD);
  CHECK(attention.has_kernel());
  CHECK_FALSE(attention.uses_clusters(/*rotate_cache=*/true));
  CHECK_FALSE(attention.uses_clusters(/*rotate_cache=*/false));
}

TEST_CASE("where clusters would take many rounds, they do so for keys turned for one head",
          "[gpu]") {
  require_cuda();
  if (!has_clusters()) SKIP("wants a GPU with thread block clusters");
  const auto like = torch::empty({0}, torch::dtype(torch::kBFloat16).device(kGpu));
  const auto uses = [&](int64_t B, int64_t G, bool rotate_cache) {
    return DecodeAttention(B, /*H=*/32, G, /*C=*/577, /*D=*/128, like).uses_clusters(rotate_cache);
  };
  CHECK(uses(/*B=*/1, /*G=*/32, true));
  CHECK(uses(1, 32, false));
  CHECK(uses(1, 8, false));
  CHECK(uses(64, 32, true));
  CHECK_FALSE(uses(64, 32, false));
  CHECK_FALSE(uses(64, 8, true));
}

TEST_CASE("decode attention gives the same bits every time", "[gpu]") {
  require_cuda();
  for (const auto& s : attention_shapes()) {
    INFO(text(s));
    AttentionCase first(s, s.C - 1, true, true);
    DecodeAttention attention(s.B, s.H, s.G, s.C, s.D, first.q_BHD);
    const auto want =
        attention.forward(first.q_BHD, first.k_BGD, first.v_BGD, first.cache, first.position);
    for (int i = 0; i < 5; ++i) {
      AttentionCase again(s, s.C - 1, true, true);
      CHECK_SAME(
          attention.forward(again.q_BHD, again.k_BGD, again.v_BGD, again.cache, again.position),
          want);
      CHECK_SAME(again.cache.mass_BGC, first.cache.mass_BGC);
    }
  }
}
