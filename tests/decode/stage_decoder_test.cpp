// Stages that decode together against one decoder of the whole model: the same bits on a CPU.
#include "config/attention_config.h"
#include "decode/decoder.h"
#include "tensor/kit/torch.h"
#include "tests/support/catch.h"
#include "tests/support/decoding.h"
#include "tests/support/policies.h"
#include "tests/support/stage_decoders.h"
#include "tests/support/tensors.h"
#include "tests/support/tiny_llama.h"

using namespace lococo;
using namespace lococo::testing;

namespace {

ModelShape three_layers() {
  auto shape = tiny_shape();
  shape.num_layers = 3;
  return shape;
}

const std::vector<std::vector<int64_t>> kSplits = {{2, 1}, {1, 1, 1}};

}  // namespace

TEST_CASE("stages decode what the whole model does, with every policy", "[decode]") {
  const auto tokens = distinct_tokens(2, 40, 1);
  for (const auto& policy_case : policies_and_none()) {
    auto model = tiny_llama(3, policy_case.cache, three_layers());
    Decoder whole(model, decoder_options(2, 5, /*max_tokens=*/80));
    const auto want = decode(whole, tokens, 21);
    for (const auto& split : kSplits) {
      INFO(policy_case.name << " on " << split.size() << " stages");
      StageDecoders stages(model, split, decoder_options(2, 5, /*max_tokens=*/80));
      const auto got = stages.run([&](Decoder& stage) { return decode(stage, tokens, 21); });
      CHECK_SAME(got, want);
    }
  }
}

TEST_CASE("rows of lengths of their own go through stages, and go on where they were", "[decode]") {
  const auto tokens = distinct_tokens(3, 40, 2);
  auto model = tiny_llama(4, tiny_cache(), three_layers());
  const auto talk = [&](Decoder& decoder) {
    std::vector<torch::Tensor> seen = {decode_rows(decoder, tokens, {17, 9, 9}, 4)};
    const auto before = decoder.save();
    for (int again = 0; again < 2; ++again) {
      seen.push_back(decoder.step(tokens.select(1, 30)).unsqueeze(1).clone());
      decoder.compress();
      const auto more = tokens.narrow(1, 31, 3);
      seen.push_back(decoder.append(more.unbind(0)).unsqueeze(1).clone());
      seen.push_back(
          decoder.extend({more[0], more[1].narrow(0, 0, 0), more[2]}).unsqueeze(1).clone());
      decoder.restore(before);
    }
    return torch::cat(seen, 1);
  };
  Decoder whole(model, decoder_options(3, 6, /*max_tokens=*/80));
  const auto want = talk(whole);
  for (const auto& split : kSplits) {
    StageDecoders stages(model, split, decoder_options(3, 6, /*max_tokens=*/80));
    CHECK_SAME(stages.run(talk), want);
  }
}

TEST_CASE("a part of a model needs a line to the other stages", "[decode]") {
  LayerRange first = all_layers(three_layers());
  first.end = 1;
  const Llama part(three_layers(), first, tiny_cache(), AttentionConfig(), 0);
  CHECK_THROWS_AS(Decoder(part, decoder_options(1, 5, /*max_tokens=*/80)), c10::Error);
}
