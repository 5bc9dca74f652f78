// Decoding on a GPU: as on a CPU, and a recorded step against one that runs.
#include "decode/decoder.h"
#include "lococo/fused_select.h"
#include "tensor/conv/time_conv.h"
#include "tensor/kit/memory_stats.h"
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

namespace {

/// A cache whose compressions the fused kernels mix, scores fading and a normalizer for each head.
CacheConfig fused_cache() {
  auto cache = tiny_cache();
  cache.slots = 32;
  cache.block = 16;
  cache.keep_fraction = 0.5;
  cache.kernel_size = 5;
  cache.init = ConvInit::kFanIn;
  cache.sinks = 1;
  cache.local = 4;
  cache.scores = ScoreKind::kAccumulated;
  cache.score_decay = 0.75;
  cache.score_distance = 4;
  cache.normalizer_per_head = true;
  return cache;
}

/// Recorded decoding has the bits of decoding that runs, after a prompt of whole blocks, one with a
/// rest, and one that is part of a block.
void check_recorded(Llama& model, const torch::Tensor& tokens_BL) {
  const int64_t batch = tokens_BL.size(0), block = model->cache_config().block;
  Decoder recorded(model, short_buffer(batch, true)), plain(model, short_buffer(batch, false));
  for (const int64_t prompt : {5 * block, 21L, block - 1}) {
    INFO("prompt of " << prompt);
    const auto want = decode(plain, tokens_BL, prompt);
    // run, recorded, replayed
    for (int i = 0; i < 3; ++i) CHECK_SAME(decode(recorded, tokens_BL, prompt), want);
  }
}

/// Of two rows of 40 tokens at most.
DecoderOptions keeps_everything(bool cuda_graphs) {
  auto options = short_buffer(2, cuda_graphs);
  options.decode_buffer = 0;
  options.max_tokens = 40;
  return options;
}

double rms(const torch::Tensor& x) { return x.pow(2).mean().sqrt().item<double>(); }

}  // namespace

TEST_CASE("every policy decodes in float32 on a GPU as on a CPU", "[gpu]") {
  require_cuda();
  const auto tokens = distinct_tokens(2, 60, 1);
  for (const auto& policy_case : all_policies()) {
    INFO(policy_case.name);
    Decoder on_cpu(tiny_llama(3, policy_case.cache, kernel_shape()), short_buffer(2, false));
    Decoder gpu(kernel_model(kGpu, policy_case.cache, torch::kFloat32), short_buffer(2, true));
    // Two layers and a head widen the rounding differences of other summation orders.
    CHECK_CLOSE(decode(gpu, tokens.to(kGpu), 21), decode(on_cpu, tokens, 21), /*factor=*/50.0);
  }
}

TEST_CASE("the decode kernels are as near to float32 as tensor operations", "[gpu]") {
  require_cuda();
  const int64_t batch = GENERATE(1, 3, 6);
  const auto tokens = random_tokens(batch, 60, 1);
  const torch::Device host(torch::kCPU);
  for (const auto& policy_case : all_policies()) {
    // Scores that are rounded otherwise may choose other heavy hitters.
    if (policy_case.cache.policy != CachePolicyKind::kStreaming) continue;
    INFO(policy_case.name << " batch " << batch);
    const auto decode_on = [&](torch::Device device, torch::ScalarType dtype) {
      Decoder decoder(kernel_model(device, policy_case.cache, dtype), short_buffer(batch, true));
      return decode(decoder, tokens.to(device), 21).cpu();
    };
    const auto exact = decode_on(host, torch::kFloat32);
    const auto rounded = decode_on(host, torch::kBFloat16);
    const auto got = decode_on(kGpu, torch::kBFloat16);
    REQUIRE(got.sizes() == exact.sizes());
    // Every value is rounded to bfloat16 in two layers; the kernels round less often.
    CHECK(rms(got - exact) < 1.5 * rms(rounded - exact));
    CHECK(rms(rounded - exact) < 0.05 * rms(exact));
  }
}

TEST_CASE("recorded steps, blocks and compressions have the bits of those that run", "[gpu]") {
  require_cuda();
  const int64_t batch = GENERATE(4, 6);
  const auto tokens = random_tokens(batch, 80, 1).to(kGpu);
  for (const auto& policy_case : all_policies()) {
    INFO(policy_case.name << " batch " << batch);
    auto model = kernel_model(kGpu, policy_case.cache, torch::kBFloat16);
    check_recorded(model, tokens);
  }
}

TEST_CASE("a recorded decoder mixes slots by the fused kernels, with the bits of one that runs",
          "[gpu]") {
  require_cuda();
  const int64_t batch = GENERATE(1, 4);
  INFO("batch " << batch);
  const auto cache = fused_cache();
  auto model = kernel_model(kGpu, cache, torch::kBFloat16);
  {
    const torch::NoGradGuard no_grad;
    for (auto& item : model->named_parameters())
      if (item.key().ends_with("normalizer")) item.value().select(0, 1).fill_(0.25);
    // As a decoder holds its caches.
    auto states = model->static_caches(batch, cache.slots + cache.block, kGpu);
    model->prepare_caches(states);
    for (auto& state : states) {
      state.use_home(cache.slots + 1);
      REQUIRE(use_fused_compression(state, cache));
      const auto x_XSC = torch::cat({state.k_BGSD, state.v_BGSD}, -1).flatten(0, 1);
      REQUIRE(state.prepared_KOC.defined() ==
              time_conv_is_fused(x_XSC, cache.mixed_slots(), cache.kernel_size));
    }
  }
  // Even the longest prompt is followed by several compressions.
  check_recorded(model, random_tokens(batch, 112, 1).to(kGpu));
}

TEST_CASE("without a policy the blocks of a second prompt are recorded", "[gpu]") {
  require_cuda();
  CacheConfig cache;
  cache.block = 8;
  auto model = kernel_model(kGpu, cache, torch::kBFloat16);
  Decoder recorded(model, keeps_everything(true)), plain(model, keeps_everything(false));
  for (uint64_t seed = 1; seed <= 3; ++seed) {
    const auto tokens = random_tokens(2, 40, seed).to(kGpu);
    CHECK_SAME(decode(recorded, tokens, 27), decode(plain, tokens, 27));
  }
}

TEST_CASE("without a policy recorded work is the same in memory that grows", "[gpu]") {
  require_cuda();
  CacheConfig cache;
  cache.block = 8;
  auto model = kernel_model(kGpu, cache, torch::kBFloat16);
  Decoder plain(model, keeps_everything(false));
  const auto first = random_tokens(2, 40, 1).to(kGpu), second = random_tokens(2, 40, 2).to(kGpu);
  auto settings = keeps_everything(true);
  settings.first_tokens = 16;
  Decoder growing(model, settings);
  for (const int64_t prompt : {9, 9, 9}) {  // run, recorded, replayed: within what there is
    CHECK_CLOSE(decode(growing, first.narrow(1, 0, 14), prompt),
                decode(plain, first.narrow(1, 0, 14), prompt));
  }
  CHECK(growing.capacity() == 16);
  // In a step and within a prompt. A cache of another capacity is divided otherwise among blocks.
  for (const auto& tokens : {first, second, first}) {
    CHECK_CLOSE(decode(growing, tokens, 9), decode(plain, tokens, 9), /*factor=*/4.0);
    CHECK_CLOSE(decode(growing, tokens, 27), decode(plain, tokens, 27), /*factor=*/4.0);
  }
  CHECK(growing.capacity() == 40);
}

TEST_CASE("a GPU's memory does not grow while it decodes", "[gpu]") {
  require_cuda();
  const auto tokens = random_tokens(2, 400, 1).to(kGpu);
  Decoder decoder(kernel_model(kGpu, tiny_cache(), torch::kBFloat16), short_buffer(2, true));
  auto peak_of = [&](int64_t length) {
    reset_peak(kGpu);
    decoder.prefill(tokens.narrow(1, 0, 24));
    for (int64_t t = 24; t < length; ++t) decoder.step(tokens.select(1, t));
    torch::cuda::synchronize();
    return peak_memory_bytes(kGpu);
  };
  // The first prompts record steps, compressions and blocks.
  for (int i = 0; i < 3; ++i) peak_of(60);
  const auto few = peak_of(60), many = peak_of(400);
  CHECK(many == few);
}
