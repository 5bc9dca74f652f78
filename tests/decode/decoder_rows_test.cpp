// Rows of a batch that have lengths of their own.
#include "decode/decoder.h"
#include "decode/row_runs.h"
#include "tensor/kit/torch.h"
#include "tests/support/catch.h"
#include "tests/support/decoding.h"
#include "tests/support/policies.h"
#include "tests/support/tensors.h"
#include "tests/support/tiny_llama.h"

using namespace lococo;
using namespace lococo::testing;

TEST_CASE("neighbouring rows in one state are one run", "[decode]") {
  const std::vector<int64_t> state = {1, 1, 2, 2, 2, 0, 1};
  const auto value = [&](int64_t row) { return state[static_cast<size_t>(row)]; };
  const auto runs = equal_runs(
      7, [&](int64_t row) { return value(row) > 0; },
      [&](int64_t a, int64_t b) { return value(a) == value(b); });
  CHECK((runs == std::vector<RowRun>{{0, 2}, {2, 3}, {6, 1}}));
  CHECK(equal_runs(
            0, [](int64_t) { return true; }, [](int64_t, int64_t) { return true; })
            .empty());
}

TEST_CASE("rows of lengths of their own decode as each does alone", "[decode]") {
  // Blocks of 8: inside a block, at its end, in the same and in other blocks, side by side or not.
  const std::vector<int64_t> prompts = {17, 24, 3, 17, 17, 33};
  const auto rows = static_cast<int64_t>(prompts.size());
  constexpr int64_t kSteps = 30;
  const auto tokens = random_tokens(rows, 33 + kSteps, 1);
  const int64_t decode_buffer = GENERATE(0, 4);
  for (const auto& policy_case : policies_and_none()) {
    INFO(policy_case.name << " buffer " << decode_buffer);
    auto model = tiny_llama(3, policy_case.cache);
    Decoder all(model, decoder_options(rows, decode_buffer, 80)),
        one(model, decoder_options(1, decode_buffer, 80));
    const auto together = decode_rows(all, tokens, prompts, kSteps);
    for (int64_t row = 0; row < rows; ++row) {
      INFO("row " << row);
      const auto alone =
          decode_rows(one, tokens.narrow(0, row, 1), {prompts[static_cast<size_t>(row)]}, kSteps);
      CHECK_CLOSE(together.narrow(0, row, 1), alone, kThroughModel);
      CHECK((all.row(row) == one.row(0)));
    }
  }
}

TEST_CASE("whole blocks may come one by one", "[decode]") {
  const auto tokens = random_tokens(2, 37, 1);
  for (const auto& policy_case : policies_and_none()) {
    INFO(policy_case.name);
    auto model = tiny_llama(3, policy_case.cache);
    const int64_t block = policy_case.cache.block;
    // A buffer that no block fills: nothing is compressed between the calls but by the next block.
    Decoder decoder(model, decoder_options(2, block, 40));
    const auto want = decoder.prefill(tokens).clone();
    decoder.reset();
    for (int64_t begin = 0; begin < 37; begin += block)
      decoder.extend(tokens.slice(1, begin, std::min<int64_t>(begin + block, 37)).unbind(0));
    CHECK_CLOSE(decoder.extend({tokens[0].narrow(0, 0, 0), tokens[1].narrow(0, 0, 0)}), want,
                kThroughModel);
  }
}

TEST_CASE("what follows a decoded answer is read as if the whole had been a prompt", "[decode]") {
  auto cache = tiny_cache();
  cache.policy = CachePolicyKind::kNone;
  auto model = tiny_llama(3, cache);
  const auto tokens = random_tokens(2, 40, 1);
  Decoder decoder(model, decoder_options(2, 0, 40));
  const auto want = decoder.prefill(tokens).clone();
  decoder.prefill(tokens.narrow(1, 0, 13));
  for (int64_t t = 13; t < 20; ++t) decoder.step(tokens.select(1, t));
  // One row reads on alone before the other.
  decoder.extend({tokens[0].narrow(0, 20, 5), tokens[1].narrow(0, 20, 0)});
  CHECK_CLOSE(decoder.extend({tokens[0].narrow(0, 25, 15), tokens[1].narrow(0, 20, 20)}), want,
              kThroughModel);
  CHECK_THROWS(decoder.extend({tokens[0].narrow(0, 0, 1), tokens[1].narrow(0, 0, 0)}));  // 41
}

TEST_CASE("a decoder goes back to where it was saved", "[decode]") {
  const auto tokens = random_tokens(2, 60, 1);
  const auto others = random_tokens(2, 30, 2);
  for (const auto& policy_case : policies_and_none()) {
    INFO(policy_case.name);
    auto model = tiny_llama(3, policy_case.cache);
    Decoder decoder(model, decoder_options(2, 4, 60));
    const auto go_on = [&] {
      std::vector<torch::Tensor> logits;
      for (int64_t t = 19; t < 40; ++t) logits.push_back(decoder.step(tokens.select(1, t)).clone());
      return torch::stack(logits, 1);
    };
    const auto after = decoder.prefill(tokens.narrow(1, 0, 19)).clone();
    const auto saved = decoder.save();
    const auto first = go_on();
    decoder.extend({others[0].narrow(0, 0, 9), others[1].narrow(0, 0, 20)});
    decoder.restore(saved);
    CHECK_SAME(decoder.extend({others[0].narrow(0, 0, 0), others[1].narrow(0, 0, 0)}), after);
    decoder.restore(saved);
    CHECK_SAME(go_on(), first);
  }
}

TEST_CASE("where every token stays a snapshot copies nothing, and is good until it is written over",
          "[decode]") {
  const auto tokens = random_tokens(1, 40, 1);
  const auto part = [&](int64_t begin, int64_t count) {
    return std::vector<torch::Tensor>{tokens[0].narrow(/*dim=*/0, begin, count)};
  };
  Decoder compressing(tiny_llama(3, tiny_cache()), decoder_options(1, 4, 40));
  compressing.prefill(tokens.narrow(1, 0, 19));
  CHECK_FALSE(compressing.save().rows.caches.empty());

  Decoder decoder(tiny_llama(3), decoder_options(1, 0, 40));
  decoder.prefill(tokens.narrow(1, 0, 19));
  const auto early = decoder.save();
  CHECK(early.rows.caches.empty());
  const auto want = decoder.extend(part(19, 6)).clone();
  const auto late = decoder.save();
  decoder.extend(part(30, 10));
  decoder.restore(late);
  CHECK((decoder.row(0) == RowState{25, 25}));
  decoder.restore(early);
  decoder.extend(part(30, 7));
  CHECK_THROWS_AS(decoder.restore(late), c10::Error);
  decoder.restore(early);
  CHECK_SAME(decoder.extend(part(19, 6)), want);
  decoder.reset();
  CHECK_THROWS_AS(decoder.restore(early), c10::Error);
}

TEST_CASE("a decoder compresses when it is told to", "[decode]") {
  const auto tokens = random_tokens(2, 40, 1);
  for (const auto& policy_case : policies_and_none()) {
    INFO(policy_case.name);
    const CacheConfig& cache = policy_case.cache;
    auto model = tiny_llama(3, cache);
    // One leaves what no block or token has made too large, the other compresses at once.
    Decoder told(model, decoder_options(2, 30, 40)), eager(model, decoder_options(2, 0, 40));
    const std::vector<torch::Tensor> prompts = {tokens[0].narrow(0, 0, 20),
                                                tokens[1].narrow(0, 0, 3)};
    for (Decoder* decoder : {&told, &eager}) {
      decoder->reset();
      decoder->extend(prompts);
    }
    told.compress();
    CHECK((told.row(0) == eager.row(0)));
    CHECK((told.row(1) == RowState{3, 3}));
    CHECK_CLOSE(told.step(tokens.select(1, 20)), eager.step(tokens.select(1, 20)), kThroughModel);
  }
}

TEST_CASE("appending drops nothing, however many blocks there are", "[decode]") {
  const auto tokens = random_tokens(1, 60, 1);
  for (const auto& policy_case : policies_and_none()) {
    INFO(policy_case.name);
    const CacheConfig& cache = policy_case.cache;
    const int64_t more = 2 * cache.block + 3;
    auto model = tiny_llama(3, cache);
    Decoder decoder(model, decoder_options(1, more, 80));
    decoder.prefill(tokens.narrow(1, 0, 20));
    decoder.compress();
    const int64_t before = decoder.row(0).size;
    decoder.append({tokens[0].narrow(0, 20, more)});
    CHECK((decoder.row(0) == RowState{before + more, 20 + more, cache.frame_origin(20)}));
    CHECK_THROWS(decoder.append({tokens[0]}));  // 60 more than there is room for
  }
}

TEST_CASE("a row without any token is refused", "[decode]") {
  auto model = tiny_llama(3, tiny_cache());
  Decoder decoder(model, decoder_options(2, 4));
  const auto tokens = random_tokens(2, 5, 1);
  decoder.reset();
  CHECK_THROWS(decoder.extend({tokens[0], tokens[1].narrow(0, 0, 0)}));
  CHECK_THROWS(decoder.extend({tokens[0]}));
  CHECK_THROWS(decoder.step(tokens.select(1, 0)));
}
