// Stages that decode on one GPU, one after the other: recorded work reads what was received and
// leaves what is sent at places that stay.
#include "decode/decoder.h"
#include "tensor/kit/torch.h"
#include "tests/support/catch.h"
#include "tests/support/decoding.h"
#include "tests/support/gpu.h"
#include "tests/support/gpu_decoding.h"
#include "tests/support/policies.h"
#include "tests/support/stage_decoders.h"
#include "tests/support/tensors.h"
#include "tests/support/tiny_llama.h"

using namespace lococo;
using namespace lococo::testing;

TEST_CASE("stages decode on a GPU what the whole model does", "[gpu]") {
  require_cuda();
  const torch::NoGradGuard no_grad;
  // In float32: what lies between stages is rounded to bfloat16, which a deferred addition is not.
  const auto tokens = distinct_tokens(2, 60, 1).to(kGpu);
  for (const auto& policy_case : all_policies()) {
    for (const bool graphs : {false, true}) {
      INFO(policy_case.name << " graphs " << graphs);
      auto model = kernel_model(kGpu, policy_case.cache, torch::kFloat32);
      Decoder whole(model, short_buffer(2, graphs));
      const auto want = decode(whole, tokens, 40);
      StageDecoders stages(model, {1, 1}, short_buffer(2, graphs));
      CHECK_CLOSE(stages.run([&](Decoder& stage) { return decode(stage, tokens, 40); }), want,
                  10.0);
    }
  }
}

TEST_CASE("recorded stages decode with the bits of stages that run", "[gpu]") {
  require_cuda();
  const torch::NoGradGuard no_grad;
  for (const int64_t batch : {1, 3, 20}) {  // few rows and many take other kernels
    const auto tokens = random_tokens(batch, 60, 1).to(kGpu);
    for (const auto& policy_case : all_policies()) {
      INFO(policy_case.name << " batch " << batch);
      auto model = kernel_model(kGpu, policy_case.cache, torch::kBFloat16);
      const auto decode_all = [&](bool graphs) {
        StageDecoders stages(model, {1, 1}, short_buffer(batch, graphs));
        return stages.run([&](Decoder& stage) { return decode(stage, tokens, 40); });
      };
      CHECK_SAME(decode_all(true), decode_all(false));
    }
  }
}
