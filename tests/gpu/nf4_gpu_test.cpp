// A quantised base on a GPU: the format, and what trains and decodes on it.
#include "decode/decoder.h"
#include "pass/sequence_pass.h"
#include "tensor/frozen/nf4.h"
#include "tensor/kit/torch.h"
#include "tests/support/catch.h"
#include "tests/support/decoding.h"
#include "tests/support/gpu.h"
#include "tests/support/quantised_llama.h"

using namespace lococo;
using namespace lococo::testing;

TEST_CASE("NF4 on a GPU is NF4 on a CPU", "[gpu]") {
  require_cuda();
  const std::vector<int64_t> sizes = GENERATE(
      std::vector<int64_t>{3, 7}, std::vector<int64_t>{130, 257}, std::vector<int64_t>{4096, 1024});
  const auto values = normal(sizes, 1, torch::kBFloat16);
  const auto want = nf4_quantise(values), got = nf4_quantise(values.to(kGpu));
  CHECK_SAME(got.codes_P.cpu(), want.codes_P);
  // The mean of the scales is summed in another order.
  CHECK_CLOSE(got.offset.cpu(), want.offset);
  CHECK_CLOSE(nf4_scales(got).cpu(), nf4_scales(want), /*factor=*/3.0);
  Nf4Matrix moved = want;
  for (auto* part : {&moved.codes_P, &moved.scale_codes_S, &moved.group_scales_T, &moved.offset})
    *part = part->to(kGpu);
  for (const auto dtype : {torch::kFloat32, torch::kBFloat16}) {
    CHECK_SAME(nf4_dequantise(moved, dtype).cpu(), nf4_dequantise(want, dtype));
    CHECK_SAME(nf4_dequantise_reference(moved, dtype).cpu(), nf4_dequantise(want, dtype));
  }
}

TEST_CASE("blocks on a quantised base train as on its dequantised values, recorded or not",
          "[gpu]") {
  require_cuda();
  const bool with_lora = GENERATE(false, true);
  const bool cuda_graphs = GENERATE(false, true);
  const auto targets = with_lora ? std::vector<std::string>{"q_proj", "v_proj", "up_proj"}
                                 : std::vector<std::string>{};
  const auto cache = cache_of_kernels();
  QuantisedPair pair(targets, torch::kBFloat16, cache, shape_of_kernels(), kGpu);
  const auto tokens = random_tokens(2, 64 * 4 + 17, 20).to(kGpu);
  std::vector<torch::Tensor> nll;
  for (auto* trained : {&pair.quantised, &pair.dense}) {
    for (auto& parameter : trained->registry->trainable())
      parameter.tensor.mutable_grad() = torch::zeros_like(parameter.tensor.detach());
    const auto pass = make_blockwise_pass(cache, 128, cuda_graphs);
    for (int i = 0; i < 3; ++i) pass->train(trained->model, {tokens});
    nll.push_back(pass->evaluate(trained->model, tokens));
  }
  CHECK_SAME(nll[0], nll[1]);
  const auto got = pair.quantised.gradients(), want = pair.dense.gradients();
  REQUIRE(got.size() == want.size());
  for (const auto& [name, gradient] : want) {
    INFO(name);
    if (name.ends_with(".bias") || gradient.norm().item<double>() == 0) continue;
    // FlashAttention adds the gradients of queries up in any order.
    CHECK(relative_error(got.at(name), gradient) < 0.02);
  }
}

TEST_CASE("decoding on a quantised base on a GPU is that of its dequantised values", "[gpu]") {
  require_cuda();
  QuantisedPair pair({"q_proj", "down_proj"}, torch::kBFloat16, cache_of_kernels(),
                     shape_of_kernels(), kGpu);
  const auto tokens = random_tokens(2, 90, 20).to(kGpu);
  DecoderOptions options;
  options.batch = 2;
  options.decode_buffer = 16;
  Decoder quantised(pair.quantised.model, options), dense(pair.dense.model, options);
  CHECK(relative_error(decode(quantised, tokens, 70), decode(dense, tokens, 70)) < 0.03);
}
