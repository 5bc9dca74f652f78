// Decoding on a GPU: the kernels against tensor operations, a recorded step against one that runs.
#include "generate/decoder.h"
#include "lococo/fused_select.h"
#include "model/registry.h"
#include "tensor/attention/decode_attention.h"
#include "tensor/conv/time_conv.h"
#include "tensor/kit/memory_stats.h"
#include "tensor/kit/torch.h"
#include "tensor/layers/skinny_linear.h"
#include "tests/support/catch.h"
#include "tests/support/decoding.h"
#include "tests/support/gpu.h"
#include "tests/support/policies.h"
#include "tests/support/tensors.h"
#include "tests/support/tiny_llama.h"

using namespace lococo;
using namespace lococo::testing;

namespace {

const torch::Device kGpu(torch::kCUDA, 0);

// --- decode attention

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
      {1, 32, 32, 577, 128}, {2, 4, 2, 70, 64},     {3, 6, 2, 33, 96},
      {1, 8, 1, 1000, 128},  {1, 5, 1, 41, 64},     {1, 16, 1, 129, 96},
      {2, 9, 1, 65, 128},    {70, 32, 8, 300, 128}, {1, 2, 2, 1, 64}};
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

void compare_attention(const AttentionShape& s, int64_t slot, bool rotate_cache, bool mass,
                       int64_t distance) {
  INFO(text(s) << " slot=" << slot << " rotate_cache=" << rotate_cache << " mass=" << mass
               << " distance=" << distance);
  AttentionCase x(s, slot, rotate_cache, mass);
  DecodeAttention attention(s.B, s.H, s.G, s.C, s.D, x.q_BHD, distance);
  REQUIRE(attention.has_kernel());
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

// --- skinny linear layers

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

// --- whole models

Llama model_on(torch::Device device, const CacheConfig& cache, torch::ScalarType dtype) {
  auto model = tiny_llama(3, cache, kernel_shape());
  model->to(device);
  model->set_compute_dtype(dtype);
  if (dtype != torch::kFloat32) ParameterRegistry frozen(model, TuneConfig{}, 0.0, dtype);
  return model;
}

Llama gpu_model(const CacheConfig& cache, torch::ScalarType dtype) {
  return model_on(kGpu, cache, dtype);
}

DecoderOptions options(int64_t batch, int64_t decode_buffer, bool cuda_graphs) {
  DecoderOptions result;
  result.batch = batch;
  result.decode_buffer = decode_buffer;
  result.cuda_graphs = cuda_graphs;
  return result;
}

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
  Decoder recorded(model, options(batch, 4, true)), plain(model, options(batch, 4, false));
  for (const int64_t prompt : {5 * block, 21L, block - 1}) {
    INFO("prompt of " << prompt);
    const auto want = decode(plain, tokens_BL, prompt);
    // run, recorded, replayed
    for (int i = 0; i < 3; ++i) CHECK_SAME(decode(recorded, tokens_BL, prompt), want);
  }
}

double rms(const torch::Tensor& x) { return x.pow(2).mean().sqrt().item<double>(); }

}  // namespace

TEST_CASE("the decode attention kernel agrees with tensor operations", "[gpu]") {
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

TEST_CASE("every policy decodes in float32 on a GPU as on a CPU", "[gpu]") {
  require_cuda();
  const auto tokens = distinct_tokens(2, 60, 1);
  for (const auto& policy_case : all_policies()) {
    INFO(policy_case.name);
    Decoder on_cpu(tiny_llama(3, policy_case.cache, kernel_shape()), options(2, 4, false));
    Decoder gpu(gpu_model(policy_case.cache, torch::kFloat32), options(2, 4, true));
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
      Decoder decoder(model_on(device, policy_case.cache, dtype), options(batch, 4, true));
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
    auto model = gpu_model(policy_case.cache, torch::kBFloat16);
    check_recorded(model, tokens);
  }
}

TEST_CASE("a recorded decoder mixes slots by the fused kernels, with the bits of one that runs",
          "[gpu]") {
  require_cuda();
  const int64_t batch = GENERATE(1, 4);
  INFO("batch " << batch);
  const auto cache = fused_cache();
  auto model = gpu_model(cache, torch::kBFloat16);
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
  auto model = gpu_model(cache, torch::kBFloat16);
  auto settings = options(2, 0, true);
  settings.max_tokens = 40;
  Decoder recorded(model, settings);
  settings.cuda_graphs = false;
  Decoder plain(model, settings);
  for (uint64_t seed = 1; seed <= 3; ++seed) {
    const auto tokens = random_tokens(2, 40, seed).to(kGpu);
    CHECK_SAME(decode(recorded, tokens, 27), decode(plain, tokens, 27));
  }
}

TEST_CASE("a GPU's memory does not grow while it decodes", "[gpu]") {
  require_cuda();
  const auto tokens = random_tokens(2, 400, 1).to(kGpu);
  Decoder decoder(gpu_model(tiny_cache(), torch::kBFloat16), options(2, 4, true));
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
