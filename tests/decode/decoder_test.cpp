// Decoding against what evaluation does with the same tokens.
#include "decode/decoder.h"

#include "lococo/step_plan.h"
#include "tensor/kit/torch.h"
#include "tests/support/catch.h"
#include "tests/support/decoding.h"
#include "tests/support/memory_meter.h"
#include "tests/support/policies.h"
#include "tests/support/tensors.h"
#include "tests/support/tiny_llama.h"

using namespace lococo;
using namespace lococo::testing;

namespace {

torch::Tensor logits_of(Llama& model, const torch::Tensor& hidden) {
  const torch::NoGradGuard no_grad;
  return torch::matmul(hidden, model->head_weight().to(hidden.scalar_type()).t());
}

/// The same by blocks of one token through the model's own forward.
class TokenByToken {
 public:
  TokenByToken(Llama model, int64_t decode_buffer)
      : model_(std::move(model)), cache_(model_->cache_config()), decode_buffer_(decode_buffer) {}

  torch::Tensor run(const torch::Tensor& tokens_BL, int64_t prompt) {
    const torch::NoGradGuard no_grad;
    auto states = model_->empty_caches();
    torch::Tensor hidden;
    for (const auto& step : make_step_plan(cache_, prompt)) {
      hidden = model_->forward_block(tokens_BL.slice(1, step.begin, step.end), step, states);
      origin_ = step.origin;
    }
    std::vector<torch::Tensor> logits = {logits_of(model_, hidden.select(1, -1))};
    for (int64_t t = prompt; t < tokens_BL.size(1); ++t) {
      hidden = append(tokens_BL.narrow(1, t, 1), t, states);
      logits.push_back(logits_of(model_, hidden.select(1, 0)));
    }
    return torch::stack(logits, 1);
  }

  std::vector<int64_t> compressions;  ///< positions of the tokens before which there was one

 private:
  torch::Tensor append(const torch::Tensor& token_B1, int64_t t, std::vector<CacheState>& states) {
    BlockStep step;
    step.begin = t;
    step.end = t + 1;
    step.cached = states[0].size();
    step.slots = cache_.slots;
    step.compress =
        cache_.policy != CachePolicyKind::kNone && step.cached > cache_.slots + decode_buffer_;
    step.origin = origin_;
    if (step.compress) {  // the frame of places moves then, and only then
      compressions.push_back(t);
      step.origin = cache_.frame_origin(t);
      step.shift = step.origin - origin_;
      origin_ = step.origin;
    }
    const auto before = states;
    const auto hidden = model_->forward_block(token_B1, step, states);
    // A block's score with last_block is its own queries'; here the block is everything since the
    // last compression.
    if (cache_.scores == ScoreKind::kLastBlock && !step.compress && before[0].mass_BGS.defined()) {
      for (size_t n = 0; n < states.size(); ++n)
        states[n].mass_BGS.narrow(2, 0, before[n].size()).add_(before[n].mass_BGS);
    }
    return hidden;
  }

  Llama model_;
  CacheConfig cache_;
  int64_t decode_buffer_;
  int64_t origin_ = 0;
};

CacheConfig roomy(KeyKind keys) {
  auto cache = tiny_cache();
  cache.slots = 64;
  cache.keys = keys;
  return cache;
}

}  // namespace

TEST_CASE("decoding with a cache that never overflows is one long forward", "[decode]") {
  const auto keys = GENERATE(KeyKind::kRotated, KeyKind::kUnrotated);
  const int64_t prompt = GENERATE(1, 7, 8, 20);
  auto model = tiny_llama(3, roomy(keys));
  const auto tokens = random_tokens(2, 40, 1);
  Decoder decoder(model, decoder_options(2, 5));
  const torch::NoGradGuard no_grad;
  const auto want = logits_of(model, model->forward(tokens)).narrow(1, prompt - 1, 41 - prompt);
  CHECK_CLOSE(decode(decoder, tokens, prompt), want, kThroughModel);
  CHECK(decoder.row(0).size == 40);
  CHECK(decoder.row(0).position == 40);
}

TEST_CASE("without a policy keys are cached as they stand in the text", "[decode]") {
  const auto keys_of = [](KeyKind keys) {
    CacheConfig cache;
    cache.keys = keys;
    auto model = tiny_llama(3, cache);
    Decoder decoder(model, decoder_options(1, 0, /*max_tokens=*/30));
    decode(decoder, random_tokens(1, 12, 1), /*prompt=*/9);
    return decoder.cache(0).k_BGCD.narrow(/*dim=*/2, 0, decoder.row(0).size).clone();
  };
  CHECK(torch::equal(keys_of(KeyKind::kUnrotated), keys_of(KeyKind::kRotated)));
}

TEST_CASE("without a policy decoding is one long forward up to max_tokens", "[decode]") {
  // Where a cache would place its tokens means nothing when every token stays.
  CacheConfig cache;
  if (GENERATE(false, true)) {
    cache.keys = KeyKind::kUnrotated;
    cache.positions = PositionKind::kText;
  }
  auto model = tiny_llama(3, cache);
  const auto tokens = random_tokens(1, 30, 1);
  auto settings = decoder_options(1, 0);
  CHECK_THROWS(Decoder(model, settings));
  settings.max_tokens = 30;
  Decoder decoder(model, settings);
  const torch::NoGradGuard no_grad;
  const auto want = logits_of(model, model->forward(tokens)).narrow(1, 10, 20);
  CHECK_CLOSE(decode(decoder, tokens, 11), want, kThroughModel);
  CHECK_THROWS(decoder.step(tokens.select(1, 0)));
  CHECK_THROWS(decoder.prefill(random_tokens(1, 31, 1)));
}

TEST_CASE("without a policy memory grows with the tokens, and changes nothing", "[decode]") {
  auto shape = tiny_shape();
  if (GENERATE(false, true)) {
    shape.rope_scaling.type = RopeType::kDynamic;
    shape.max_position_embeddings = 12;
  }
  auto model = tiny_llama(3, CacheConfig(), shape);
  const auto tokens = random_tokens(2, 60, 1);
  auto growing = decoder_options(2, 0, /*max_tokens=*/60);
  Decoder whole(model, growing);
  growing.first_tokens = 10;
  Decoder decoder(model, growing);
  CHECK(decoder.capacity() == 10);
  CHECK(decoder.cache_bytes() == whole.cache_bytes() / 6);
  // In a step, within a prompt, and for one row before the other.
  const auto talk = [&](Decoder& one) {
    std::vector<torch::Tensor> seen = {decode(one, tokens.narrow(1, 0, 12), 9)};
    const auto saved = one.save();
    for (int again = 0; again < 2; ++again) {
      seen.push_back(one.extend({tokens[0].narrow(0, 12, 11), tokens[1].narrow(0, 12, 3)})
                         .unsqueeze(1)
                         .clone());
      for (int64_t t = 23; t < 40; ++t)
        seen.push_back(one.step(tokens.select(1, t)).unsqueeze(1).clone());
      one.restore(saved);
    }
    return torch::cat(seen, /*dim=*/1);
  };
  const auto want = talk(whole);
  CHECK_CLOSE(talk(decoder), want, kThroughModel);
  CHECK(decoder.capacity() >= 40);
  CHECK(decoder.capacity() <= 60);
  decoder.prefill(tokens);
  CHECK(decoder.capacity() == 60);
  CHECK_THROWS(decoder.step(tokens.select(1, 0)));
  CHECK_THROWS(decoder.prefill(random_tokens(2, 61, 1)));
}

TEST_CASE("dynamic RoPE scaling follows the length at every token", "[decode]") {
  auto shape = tiny_shape();
  shape.rope_scaling.type = RopeType::kDynamic;
  shape.max_position_embeddings = 12;
  auto model = tiny_llama(3, roomy(KeyKind::kRotated), shape);
  const auto tokens = random_tokens(1, 30, 1);
  Decoder decoder(model, decoder_options(1, 5));
  TokenByToken want(model, 5);
  CHECK_CLOSE(decode(decoder, tokens, 9), want.run(tokens, 9), kThroughModel);
}

TEST_CASE("every policy decodes like blocks of one token, compressions included", "[decode]") {
  const int64_t decode_buffer = GENERATE(0, 1, 5);
  const int64_t prompt = GENERATE(1, 6, 31);
  const auto tokens = random_tokens(2, prompt + 26, 1);
  for (const auto& policy_case : all_policies()) {
    INFO(policy_case.name);
    auto model = tiny_llama(3, policy_case.cache);
    Decoder decoder(model, decoder_options(2, decode_buffer));
    TokenByToken want(model, decode_buffer);
    const auto expected = want.run(tokens, prompt);
    CHECK_CLOSE(decode(decoder, tokens, prompt), expected, kThroughModel);
    CHECK(want.compressions.size() >= 2);

    int64_t size = make_step_plan(policy_case.cache, prompt).back().attended();
    const int64_t slots = policy_case.cache.slots, limit = slots + decode_buffer;
    decoder.prefill(tokens.narrow(1, 0, prompt));
    size = size > limit ? slots : size;
    CHECK(decoder.row(0).size == size);
    for (int64_t t = prompt; t < tokens.size(1); ++t) {
      decoder.step(tokens.select(1, t));
      size = (size > limit ? slots : size) + 1;
      CHECK(decoder.row(0).size == size);
      CHECK(size <= decoder.capacity());
    }
  }
}

TEST_CASE("a prompt is scored as an evaluation scores it", "[decode]") {
  const auto tokens = random_tokens(2, 35, 1);
  for (const auto& policy_case : all_policies()) {
    INFO(policy_case.name);
    auto model = tiny_llama(3, policy_case.cache);
    Decoder decoder(model, decoder_options(2, 4));
    for (const int64_t length : {1, 8, 9, 30, 35}) {
      const auto block = tokens.narrow(1, 0, length);
      const auto want = logits_of(model, blockwise_hidden(model, block).select(1, -1));
      CHECK_CLOSE(decoder.prefill(block), want);
    }
  }
}

TEST_CASE("a prompt says after each block how far it is", "[decode]") {
  auto model = tiny_llama(3, tiny_cache());  // blocks of 8
  Decoder decoder(model, decoder_options(1, 4));
  std::vector<int64_t> done;
  const auto tokens = random_tokens(1, 21, 1);
  const auto logits = decoder.prefill(tokens, [&](int64_t so_far) { done.push_back(so_far); });
  CHECK(done == std::vector<int64_t>{8, 16, 21});
  CHECK_SAME(decoder.prefill(tokens), logits.clone());
  // Two layers of keys, values and scores: the homes that were allocated, however long the text.
  const int64_t bytes = decoder.cache_bytes();
  CHECK(bytes > 0);
  decoder.prefill(random_tokens(1, 200, 1));
  CHECK(decoder.cache_bytes() == bytes);
}

TEST_CASE("rows of a decoded batch do not influence each other", "[decode]") {
  const auto tokens = random_tokens(3, 40, 1);
  for (const auto& policy_case : all_policies()) {
    INFO(policy_case.name);
    auto model = tiny_llama(3, policy_case.cache);
    Decoder all(model, decoder_options(3, 4)), one(model, decoder_options(1, 4));
    const auto together = decode(all, tokens, 17);
    for (int64_t row = 0; row < 3; ++row) {
      CHECK_CLOSE(decode(one, tokens.narrow(0, row, 1), 17), together.narrow(0, row, 1),
                  kThroughModel);
    }
  }
}

TEST_CASE("a decoder starts anew at every prompt", "[decode]") {
  auto model = tiny_llama(3, tiny_cache());
  Decoder decoder(model, decoder_options(2, 3));
  const auto tokens = random_tokens(2, 30, 1);
  const auto first = decode(decoder, tokens, 12);
  decode(decoder, random_tokens(2, 50, 2), 33);
  CHECK_SAME(decode(decoder, tokens, 12), first);
}

TEST_CASE("decoding merges LoRA into the weights", "[decode]") {
  auto model = tiny_llama(3, roomy(KeyKind::kUnrotated));
  model->add_lora(2, 4.0, {"q_proj", "k_proj", "o_proj", "gate_proj", "down_proj"}, 1);
  perturb(model, "lora_B", 0.3, 2);
  const auto tokens = random_tokens(1, 20, 1);
  Decoder decoder(model, decoder_options(1, 4));
  const torch::NoGradGuard no_grad;
  const auto want = logits_of(model, model->forward(tokens)).narrow(1, 4, 16);
  CHECK_CLOSE(decode(decoder, tokens, 5), want, kThroughModel);
}

TEST_CASE("the memory of decoding does not grow with the tokens", "[decode]") {
  auto model = tiny_llama(3, tiny_cache());
  Decoder decoder(model, decoder_options(1, 3));
  const auto tokens = random_tokens(1, 240, 1);
  decode(decoder, tokens.narrow(1, 0, 40), 20);
  auto peak_of = [&](int64_t steps) {
    decoder.prefill(tokens.narrow(1, 0, 20));
    const MemoryMeter meter;
    for (int64_t t = 20; t < 20 + steps; ++t) decoder.step(tokens.select(1, t));
    CHECK(meter.live_bytes() == 0);
    return meter.peak_bytes();
  };
  const auto few = peak_of(20), many = peak_of(220);
  CHECK(few > 0);
  CHECK(many == few);
}
