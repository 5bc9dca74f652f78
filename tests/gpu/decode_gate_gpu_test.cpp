// The gate of new tokens: its kernel against tensor operations, and decoding that uses it.
#include <algorithm>

#include "decode/decode_gate.h"
#include "decode/decoder.h"
#include "lococo/fused_select.h"
#include "tensor/kit/cuda_graph.h"
#include "tensor/kit/torch.h"
#include "tests/support/catch.h"
#include "tests/support/decoding.h"
#include "tests/support/gpu.h"
#include "tests/support/gpu_decoding.h"
#include "tests/support/tensors.h"
#include "tests/support/tiny_llama.h"

using namespace lococo;
using namespace lococo::testing;

namespace {

RetentionGate random_gate(int64_t width, int64_t units, int64_t kv_heads) {
  RetentionGate gate(width, units, kv_heads, /*init_seed=*/1);
  const torch::NoGradGuard no_grad;
  gate->out_bias.copy_(normal({kv_heads}, 2));
  gate->to(kGpu);
  return gate;
}

/// Products behind those of q, k and v, and scores that are the first slots of longer memory.
struct GateCase {
  GateCase(int64_t B, int64_t units, int64_t kv_heads)
      : tail(gate_tail(*random_gate(64, units, kv_heads))),
        home_BGC(torch::full({B, kv_heads, kCapacity + 5}, 9.0F, kGpu)),
        score_BGC(home_BGC.narrow(2, 0, kCapacity)) {
    const int64_t P = (units + kv_heads + 7) / 8 * 8;
    product_BP = on_gpu({B, 96 + P}, 3).narrow(1, 96, P);
    const auto slots_B = torch::arange(B, torch::kInt32) * 17 % kCapacity;
    cursor_B2 = torch::stack({slots_B, slots_B + 100}, 1).to(kGpu);
  }

  /// The home with the scores of tensor operations.
  torch::Tensor want() const {
    auto home = home_BGC.clone();
    const auto score_BG = gate_scores_reference(product_BP, tail);
    for (int64_t b = 0; b < home.size(0); ++b)
      home[b].select(1, cursor_B2[b][0].item<int>()).copy_(score_BG[b]);
    return home;
  }

  static constexpr int64_t kCapacity = 70;
  GateTail tail;
  torch::Tensor product_BP, home_BGC, score_BGC, cursor_B2;
};

CacheConfig retention_cache() {
  auto cache = tiny_cache();
  cache.policy = CachePolicyKind::kRetention;
  cache.slots = 32;
  cache.block = 16;
  cache.sinks = 1;
  cache.local = 4;
  cache.scores = ScoreKind::kAccumulated;
  cache.score_decay = 0.75;
  cache.score_distance = 4;
  cache.positions = PositionKind::kText;
  cache.position_cap = 64;
  cache.retention_units = 40;
  return cache;
}

/// Frozen weights in `dtype`; LoRA in q_proj where asked, so that the weights are merged.
Llama model_on(torch::Device device, torch::ScalarType dtype, bool lora) {
  auto model = tiny_llama(3, retention_cache(), kernel_shape());
  if (lora) {
    model->add_lora(/*rank=*/4, /*alpha=*/8.0, {"q_proj"}, 5);
    perturb(model, "lora_B", 0.05, 6);
  }
  return moved_to(device, dtype, model);
}

/// The first layer's scores of all tokens, before any compression.
torch::Tensor first_scores(Llama model, const torch::Tensor& tokens_BL, int64_t prompt) {
  Decoder decoder(model, short_buffer(tokens_BL.size(0), true));
  decode(decoder, tokens_BL, prompt);
  return decoder.save().rows.caches.front().score_BGS.cpu();
}

}  // namespace

TEST_CASE("the gate's kernel agrees with tensor operations and gives the same bits every time",
          "[gpu]") {
  require_cuda();
  for (const int64_t B : {1, 4, 6}) {
    for (const int64_t units : {128, 40, 1}) {
      for (const int64_t kv_heads : {1, 3, 8}) {
        INFO("B=" << B << " U=" << units << " G=" << kv_heads);
        const GateCase x(B, units, kv_heads);
        const auto want = x.want();
        note_gate_scores(x.product_BP, x.tail, x.cursor_B2, x.score_BGC);
        CHECK_CLOSE(x.home_BGC, want, /*factor=*/10.0);  // sums in another order
        const auto first = x.home_BGC.clone();
        x.home_BGC.fill_(9.0);
        note_gate_scores(x.product_BP, x.tail, x.cursor_B2, x.score_BGC);
        CHECK_SAME(x.home_BGC, first);
      }
    }
  }
}

TEST_CASE("a recorded gate follows the product and the cursor", "[gpu]") {
  require_cuda();
  const GateCase x(4, 128, 3);
  const auto note = [&] { note_gate_scores(x.product_BP, x.tail, x.cursor_B2, x.score_BGC); };
  note();
  CapturedGraph graph;
  graph.capture(note);
  x.product_BP.mul_(-2.0);
  x.cursor_B2.add_(1);
  const auto want = x.want();
  graph.replay();
  CHECK_CLOSE(x.home_BGC, want, /*factor=*/10.0);
}

TEST_CASE("scores behind one product in bfloat16 are near those of the gate", "[gpu]") {
  require_cuda();
  const torch::NoGradGuard no_grad;
  const int64_t B = 4, width = 256;
  for (const int64_t kv_heads : {1, 3}) {
    auto gate = random_gate(width, 128, kv_heads);
    const auto x_BE = on_gpu({B, width}, 3);
    const auto product_BP = torch::linear(x_BE, gate_rows(*gate, torch::kBFloat16));
    const auto score_BGC = torch::zeros({B, kv_heads, 3}, kGpu);
    const auto cursor_B2 = torch::tensor({1, 1}, torch::kInt32).repeat({B, 1}).to(kGpu);
    note_gate_scores(product_BP, gate_tail(*gate), cursor_B2, score_BGC);
    const auto want_BG1 = gate->forward(x_BE.unsqueeze(1));
    // Weights and the product are rounded, by at most 0.4 % each.
    CHECK(relative_error(score_BGC.narrow(2, 1, 1), want_BG1) < 0.01);
  }
}

TEST_CASE("tokens get the gate's score while they are decoded", "[gpu]") {
  require_cuda();
  const int64_t batch = GENERATE(1, 3, 6), prompt = 9, tokens = 30;  // fewer than slots
  const bool lora = GENERATE(false, true);
  INFO("batch " << batch << " lora " << lora);
  const auto tokens_BL = random_tokens(batch, tokens, 1);
  const auto want = first_scores(model_on(torch::kCPU, torch::kFloat32, lora), tokens_BL, prompt);
  const auto got = first_scores(model_on(kGpu, torch::kBFloat16, lora), tokens_BL.to(kGpu), prompt);
  REQUIRE(want.size(2) == tokens);
  REQUIRE(got.sizes() == want.sizes());
  // The first layer's input, norm, weights and product are rounded to bfloat16.
  CHECK(relative_error(got, want) < 0.02);
  CHECK(relative_error(got.narrow(2, prompt, tokens - prompt),
                       want.narrow(2, prompt, tokens - prompt)) < 0.02);
}

TEST_CASE("recorded decoding with learned retention has the bits of decoding that runs", "[gpu]") {
  require_cuda();
  const int64_t batch = GENERATE(1, 4, 6);
  INFO("batch " << batch);
  const auto tokens_BL = random_tokens(batch, 112, 1).to(kGpu);
  auto model = model_on(kGpu, torch::kBFloat16, /*lora=*/false);
  {
    auto states = model->static_caches(batch, 48, kGpu);
    states.front().use_home(40);
    REQUIRE(use_fused_compression(states.front(), model->cache_config()));
  }
  Decoder recorded(model, short_buffer(batch, true)), plain(model, short_buffer(batch, false));
  for (const int64_t prompt : {80, 21, 15}) {
    INFO("prompt of " << prompt);
    const auto want = decode(plain, tokens_BL, prompt);
    for (int i = 0; i < 3; ++i) CHECK_SAME(decode(recorded, tokens_BL, prompt), want);
  }
}
