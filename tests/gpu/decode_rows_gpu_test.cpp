// Rows of lengths of their own on a GPU: the kernel against tensor operations, recorded work
// against work that runs.
#include "decode/decoder.h"
#include "tensor/attention/decode_attention.h"
#include "tensor/kit/torch.h"
#include "tests/support/catch.h"
#include "tests/support/decoding.h"
#include "tests/support/gpu.h"
#include "tests/support/gpu_decoding.h"
#include "tests/support/policies.h"
#include "tests/support/tensors.h"
#include "tests/support/tiny_llama.h"

using namespace lococo;
using namespace lococo::testing;

TEST_CASE("the decode attention kernel keeps sequences at slots and angles of their own", "[gpu]") {
  require_cuda();
  constexpr int64_t B = 5, H = 8, G = 2, C = 300, D = 64, X = 310;
  const auto angles = normal({B, X, D / 2}, 7).repeat({1, 1, 2}).to(kGpu);
  for (const bool rotate_cache : {false, true}) {
    for (const bool own_tables : {false, true}) {
      if (rotate_cache && own_tables) continue;
      INFO("rotate_cache=" << rotate_cache << " own_tables=" << own_tables);
      const auto qkv_BND = on_gpu({B, H + 2 * G, D}, 1);
      const auto q = qkv_BND.narrow(1, 0, H), k = qkv_BND.narrow(1, H, G),
                 v = qkv_BND.narrow(1, H + G, G);
      DecodePosition position;
      position.rotate_cache = rotate_cache;
      position.cos_RXD = (own_tables ? angles : angles.narrow(0, 0, 1)).cos().contiguous();
      position.sin_RXD = (own_tables ? angles : angles.narrow(0, 0, 1)).sin().contiguous();
      const auto slots = torch::tensor({0, 299, 31, 150, 32}, torch::kInt32);
      const auto rows = rotate_cache ? slots : torch::tensor({309, 0, 5, 77, 5}, torch::kInt32);
      position.cursor_B2 = torch::stack({slots, rows}, 1).to(kGpu);
      DecodeCache cache = {on_gpu({B, G, C, D}, 4), on_gpu({B, G, C, D}, 5),
                           normal({B, G, C}, 6).abs().to(kGpu)};
      DecodeCache wide = {cache.k_BGCD.to(torch::kFloat32), cache.v_BGCD.to(torch::kFloat32),
                          cache.mass_BGC.clone()};
      DecodeAttention attention(B, H, G, C, D, q, /*distance=*/3);
      REQUIRE(attention.has_kernel());
      const auto got = attention.forward(q, k, v, cache, position);
      const auto want = decode_attention_reference(q.to(torch::kFloat32), k.to(torch::kFloat32),
                                                   v.to(torch::kFloat32), wide, position, 3);
      CHECK_CLOSE(got, want);
      CHECK_CLOSE(cache.k_BGCD, wide.k_BGCD);
      CHECK_SAME(cache.v_BGCD.to(torch::kFloat32), wide.v_BGCD);
      CHECK_CLOSE(cache.mass_BGC, wide.mass_BGC, 100.0);
    }
  }
}

TEST_CASE("rows of lengths of their own decode recorded with the bits of those that run", "[gpu]") {
  require_cuda();
  const std::vector<int64_t> prompts = {24, 24, 17, 3, 33};
  const auto rows = static_cast<int64_t>(prompts.size());
  const auto tokens = random_tokens(rows, 80, 1).to(kGpu);
  for (const auto& policy_case : all_policies()) {
    INFO(policy_case.name);
    auto model = kernel_model(kGpu, policy_case.cache, torch::kBFloat16);
    Decoder recorded(model, short_buffer(rows, true)), plain(model, short_buffer(rows, false));
    const auto want = decode_rows(plain, tokens, prompts, 40);
    for (int i = 0; i < 3; ++i) CHECK_SAME(decode_rows(recorded, tokens, prompts, 40), want);
  }
}

TEST_CASE("rows of lengths of their own decode in float32 on a GPU as on a CPU", "[gpu]") {
  require_cuda();
  const std::vector<int64_t> prompts = {24, 17, 17, 33};
  const auto tokens = distinct_tokens(4, 61, 1);
  for (const auto& policy_case : all_policies()) {
    INFO(policy_case.name);
    Decoder on_cpu(tiny_llama(3, policy_case.cache, kernel_shape()), short_buffer(4, false));
    Decoder gpu(kernel_model(kGpu, policy_case.cache, torch::kFloat32), short_buffer(4, true));
    CHECK_CLOSE(decode_rows(gpu, tokens.to(kGpu), prompts, 28),
                decode_rows(on_cpu, tokens, prompts, 28), /*factor=*/50.0);
  }
}
