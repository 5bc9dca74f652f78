// The fused kernels of the layers against plain tensor operations.
#include <cmath>

#include "tensor/kit/torch.h"
#include "tensor/layers/frozen_mlp.h"
#include "tensor/layers/rms_norm.h"
#include "tensor/layers/rotary.h"
#include "tensor/layers/swiglu.h"
#include "tests/support/catch.h"
#include "tests/support/gpu.h"
#include "tests/support/gradcheck.h"
#include "tests/support/tensors.h"

using namespace lococo;
using namespace lococo::testing;

namespace {

const auto kHalf = torch::kBFloat16;
const auto kSingle = torch::kFloat32;

/// Gradients of `outputs`, each with its own random gradient in its own dtype.
std::vector<torch::Tensor> gradients_of(const std::vector<torch::Tensor>& outputs,
                                        const std::vector<torch::Tensor>& inputs) {
  std::vector<torch::Tensor> given;
  for (size_t i = 0; i < outputs.size(); ++i)
    given.push_back(normal(outputs[i].sizes(), 100 + i, outputs[i].scalar_type()).to(torch::kCUDA));
  return torch::autograd::grad(outputs, inputs, given, /*retain_graph=*/true);
}

void check_all_close(const std::vector<torch::Tensor>& got, const std::vector<torch::Tensor>& want,
                     double factor) {
  REQUIRE(got.size() == want.size());
  for (size_t i = 0; i < got.size(); ++i) {
    INFO("tensor " << i);
    CHECK(got[i].scalar_type() == want[i].scalar_type());
    CHECK_CLOSE(got[i], want[i], factor);
  }
}

struct NormCase {
  int64_t rows, E;
  torch::ScalarType dtype, weight_dtype;
};

const std::vector<NormCase>& norm_cases() {
  static const std::vector<NormCase> list = {
      {1, 128, kHalf, kSingle},    {3, 128, kHalf, kHalf},     {37, 136, kHalf, kSingle},
      {2201, 128, kHalf, kSingle}, {5, 512, kHalf, kSingle},   {130, 1024, kHalf, kHalf},
      {67, 4096, kHalf, kSingle},  {67, 4096, kHalf, kHalf},   {33, 5120, kHalf, kSingle},
      {19, 8192, kHalf, kSingle},  {7, 8200, kHalf, kHalf},    {9, 16384, kHalf, kSingle},
      {37, 136, kSingle, kSingle}, {21, 4096, kSingle, kHalf}, {3, 16384, kSingle, kSingle},
      {4, 100, kHalf, kSingle},    {2, 16392, kHalf, kSingle}};
  return list;
}

std::string text(const NormCase& c) {
  std::ostringstream out;
  out << "rows=" << c.rows << " E=" << c.E << " " << c.dtype << ", weight " << c.weight_dtype;
  return out.str();
}

torch::Tensor angles(int64_t L, int64_t D) {
  const auto half = normal({L, D / 2}, 7);
  return torch::cat({half, half}, /*dim=*/-1).to(torch::kCUDA);
}

}  // namespace

TEST_CASE("the fused RMSNorm agrees with plain operations, gradients included", "[gpu]") {
  require_cuda();
  for (const auto& c : norm_cases()) {
    INFO(text(c));
    const auto x = leaf_on_gpu({1, c.rows, c.E}, 1, c.dtype),
               weight = leaf_on_gpu({c.E}, 2, c.weight_dtype);
    const auto fast = rms_norm(x, weight, 1e-5), slow = rms_norm_reference(x, weight, 1e-5);
    CHECK(fast.scalar_type() == c.dtype);
    CHECK_CLOSE(fast, slow);
    // Sums over rows and columns in another order.
    check_all_close(gradients_of({fast}, {x, weight}), gradients_of({slow}, {x, weight}), 10.0);
  }
}

TEST_CASE("the fused sum and norm agrees with plain operations, gradients included", "[gpu]") {
  require_cuda();
  for (const auto& c : norm_cases()) {
    INFO(text(c));
    const auto x = leaf_on_gpu({c.rows, c.E}, 1, c.dtype),
               residual = leaf_on_gpu({c.rows, c.E}, 2, c.dtype);
    const auto weight = leaf_on_gpu({c.E}, 3, c.weight_dtype);
    const std::vector<torch::Tensor> inputs = {x, residual, weight};
    const auto fast = add_rms_norm(x, residual, weight, 1e-5);
    const auto slow = add_rms_norm_reference(x, residual, weight, 1e-5);
    CHECK_SAME(fast.sum, slow.sum);
    CHECK_CLOSE(fast.normed, slow.normed);
    check_all_close(gradients_of({fast.sum, fast.normed}, inputs),
                    gradients_of({slow.sum, slow.normed}, inputs), 10.0);
    // A last layer's sum goes no further, and a sum may be used without its norm.
    check_all_close(gradients_of({fast.normed}, inputs), gradients_of({slow.normed}, inputs), 10.0);
    CHECK_SAME(gradients_of({fast.sum}, {x})[0], gradients_of({slow.sum}, {x})[0]);
  }
}

TEST_CASE("a fused norm gives gradients to what needs them, whatever memory they come in",
          "[gpu]") {
  require_cuda();
  const auto frozen_weight = normal({512}, 2, kHalf).to(torch::kCUDA);
  const auto x = leaf_on_gpu({35, 512}, 1, kHalf);
  auto check = [&](const torch::Tensor& given) {
    auto gradient = [&](const torch::Tensor& normed) {
      return torch::autograd::grad({normed}, {x}, {given})[0];
    };
    CHECK_CLOSE(gradient(rms_norm(x, frozen_weight, 1e-5)),
                gradient(rms_norm_reference(x, frozen_weight, 1e-5)));
  };
  check(normal({512, 35}, 3, kHalf).to(torch::kCUDA).t());
  check(normal({512}, 4, kHalf).to(torch::kCUDA).expand({35, 512}));
  const auto fixed = x.detach(), weight = leaf_on_gpu({512}, 5, kSingle);
  check_all_close(gradients_of({rms_norm(fixed, weight, 1e-5)}, {weight}),
                  gradients_of({rms_norm_reference(fixed, weight, 1e-5)}, {weight}), 10.0);
  // An input that starts between two 16-byte words takes the plain path.
  const auto shifted = normal({35 * 512 + 1}, 6, kHalf).to(torch::kCUDA).narrow(0, 1, 35 * 512);
  const auto odd = shifted.view({35, 512});
  CHECK_SAME(rms_norm(odd, weight, 1e-5), rms_norm_reference(odd, weight, 1e-5));
}

TEST_CASE("the weight's gradient of a fused norm has the same bits every time", "[gpu]") {
  require_cuda();
  const auto x = leaf_on_gpu({3001, 1024}, 1, kHalf), weight = leaf_on_gpu({1024}, 2, kSingle);
  auto gradient = [&] { return gradients_of({rms_norm(x, weight, 1e-5)}, {x, weight}); };
  const auto first = gradient();
  for (int i = 0; i < 5; ++i) {
    const auto again = gradient();
    CHECK_SAME(again[0], first[0]);
    CHECK_SAME(again[1], first[1]);
  }
}

TEST_CASE("the fused rotation agrees with plain operations in every memory layout", "[gpu]") {
  require_cuda();
  struct Shape {
    int64_t B, H, L, D;
  };
  for (const auto dtype : {kHalf, kSingle}) {
    for (const auto& s : {Shape{2, 4, 37, 64}, Shape{1, 32, 129, 128}, Shape{3, 2, 1, 16},
                          Shape{2, 3, 5, 6}, Shape{1, 2, 7, 24}, Shape{1, 1, 1, 2}}) {
      INFO(dtype << " B=" << s.B << " H=" << s.H << " L=" << s.L << " D=" << s.D);
      const auto a = angles(s.L, s.D);
      const auto cos = a.cos() * 1.1, sin = a.sin() * 1.1;  // yarn scales both
      auto check = [&](const torch::Tensor& values) {
        const auto x = values.detach().requires_grad_(true);
        const auto fast = rotary(x, cos, sin), slow = rotary_reference(x, cos, sin);
        CHECK(fast.is_contiguous());
        CHECK_CLOSE(fast, slow);
        auto gradient = [&](const torch::Tensor& out, const torch::Tensor& given) {
          return torch::autograd::grad({out}, {x}, {given}, /*retain_graph=*/true)[0];
        };
        const auto given = normal({s.B, s.H, s.L, s.D}, 5, dtype).to(torch::kCUDA);
        const auto got = gradient(fast, given), want = gradient(slow, given);
        CHECK_CLOSE(got, want);
        CHECK(got.transpose(1, 2).is_contiguous());
        const auto transposed = given.transpose(2, 3).contiguous().transpose(2, 3);
        CHECK_SAME(gradient(fast, transposed), got);
        CHECK_SAME(gradient(fast, given.transpose(1, 2).contiguous().transpose(1, 2)), got);
      };
      const auto x = normal({s.B, s.H, s.L, s.D}, 1, dtype).to(torch::kCUDA);
      check(x);
      check(normal({s.B, s.L, s.H, s.D}, 2, dtype).to(torch::kCUDA).transpose(1, 2));
      check(x.transpose(2, 3).contiguous().transpose(2, 3));
      // A cache with room to spare, a stretch of it, and rows between two 16-byte words.
      const auto room = normal({s.B, s.H, s.L + 3, s.D}, 3, dtype).to(torch::kCUDA);
      check(room.narrow(/*dim=*/2, 2, s.L));
      check(normal({s.B, s.H, s.L, s.D + 3}, 4, dtype).to(torch::kCUDA).narrow(/*dim=*/3, 1, s.D));
    }
  }
}

TEST_CASE("the fused rotation reads a stretch of a longer table", "[gpu]") {
  require_cuda();
  const auto a = angles(40, 64);
  const auto cos = a.cos().narrow(0, 21, 9), sin = a.sin().narrow(0, 21, 9);
  const auto x = leaf_on_gpu({2, 3, 9, 64}, 1, kHalf);
  CHECK_CLOSE(rotary(x, cos, sin), rotary_reference(x, cos, sin));
}

TEST_CASE("the fused SwiGLU agrees with plain operations, gradients included", "[gpu]") {
  require_cuda();
  for (const auto dtype : {kHalf, kSingle}) {
    for (const int64_t F : {8, 136, 1024, 11008, 12}) {
      for (const int64_t rows : {1, 3, 37}) {
        INFO(dtype << " rows=" << rows << " F=" << F);
        auto check = [&](const torch::Tensor& gate, const torch::Tensor& up,
                         const std::vector<torch::Tensor>& inputs) {
          const auto fast = swiglu(gate, up), slow = swiglu_reference(gate, up);
          CHECK_CLOSE(fast, slow);
          check_all_close(gradients_of({fast}, inputs), gradients_of({slow}, inputs), 2.0);
        };
        const auto gate = leaf_on_gpu({1, rows, F}, 1, dtype),
                   up = leaf_on_gpu({1, rows, F}, 2, dtype);
        check(gate, up, {gate, up});
        const auto fused = leaf_on_gpu({rows, 2 * F}, 3, dtype);
        check(fused.narrow(1, 0, F), fused.narrow(1, F, F), {fused});
      }
    }
  }
}

TEST_CASE("SwiGLU of large gates stays finite", "[gpu]") {
  require_cuda();
  const auto gate = torch::tensor({-1e4F, -100.0F, -89.0F, 0.0F, 89.0F, 100.0F, 1e4F, 3e38F})
                        .to(torch::kCUDA)
                        .requires_grad_(true);
  const auto up = torch::ones_like(gate).requires_grad_(true);
  const auto fast = swiglu(gate, up), slow = swiglu_reference(gate, up);
  CHECK_CLOSE(fast, slow);
  const auto ones = torch::ones_like(fast);
  check_all_close(torch::autograd::grad({fast}, {gate, up}, {ones}),
                  torch::autograd::grad({slow}, {gate, up}, {ones}), 1.0);
}

TEST_CASE("a kernel runs on its tensors' GPU, whichever is the current one", "[gpu]") {
  require_cuda();
  if (torch::cuda::device_count() < 2) SKIP("this machine has one CUDA device");
  const torch::Device second(torch::kCUDA, 1);
  const auto gate = normal({3, 64}, 1).to(second), up = normal({3, 64}, 2).to(second);
  CHECK_CLOSE(swiglu(gate, up), swiglu_reference(gate, up));
}

TEST_CASE("a frozen feed-forward on a GPU is its plain parts", "[gpu]") {
  require_cuda();
  const int64_t E = 128, F = 192;
  for (const auto dtype : {kHalf, kSingle}) {
    for (const bool recompute : {false, true}) {
      INFO(dtype << " recompute " << recompute);
      auto weight = [&](int64_t out, int64_t in, uint64_t seed) {
        const auto values = normal({out, in}, seed) / std::sqrt(static_cast<double>(in));
        return values.to(torch::kCUDA, dtype);
      };
      const auto gate = weight(F, E, 1), up = weight(F, E, 2), down = weight(E, F, 3);
      const auto x = leaf_on_gpu({2, 33, E}, 4, dtype);
      const auto fast = frozen_mlp(x, gate, up, down, recompute);
      const auto slow = at::linear(swiglu_reference(at::linear(x, gate), at::linear(x, up)), down);
      // Products of hundreds of terms in another order, and another rounding between them.
      CHECK_CLOSE(fast, slow, /*factor=*/2.0);
      check_all_close(gradients_of({fast}, {x}), gradients_of({slow}, {x}), 4.0);
    }
  }
}
