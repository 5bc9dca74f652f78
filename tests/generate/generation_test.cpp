#include "generate/generation.h"

#include "tensor/kit/torch.h"
#include "tests/support/catch.h"
#include "tests/support/policies.h"
#include "tests/support/tensors.h"
#include "tests/support/tiny_llama.h"

using namespace lococo;
using namespace lococo::testing;

namespace {

constexpr int64_t kPrompt = 13;

DecoderOptions batch_of(int64_t batch) {
  DecoderOptions options;
  options.batch = batch;
  options.decode_buffer = 4;
  return options;
}

GenerationOptions tokens(int64_t count) {
  GenerationOptions options;
  options.max_new_tokens = count;
  return options;
}

}  // namespace

TEST_CASE("greedy generation takes the most probable token, the same every time", "[generate]") {
  for (const auto& policy_case : all_policies()) {
    INFO(policy_case.name);
    auto model = tiny_llama(3, policy_case.cache);
    Decoder decoder(model, batch_of(2));
    const auto prompt = random_tokens(2, kPrompt, 1);
    const auto made = generate(decoder, prompt, tokens(24));
    CHECK(made.sizes() == at::IntArrayRef({2, 24}));
    CHECK_SAME(generate(decoder, prompt, tokens(24)), made);
    auto logits = decoder.prefill(prompt);
    for (int64_t t = 0; t < 24; ++t) {
      CHECK_SAME(logits.argmax(-1), made.select(1, t));
      logits = decoder.step(made.select(1, t));
    }
  }
}

TEST_CASE("a row that has ended stays ended and the others go on", "[generate]") {
  auto model = tiny_llama(3, tiny_cache());
  Decoder decoder(model, batch_of(3));
  const auto prompt = random_tokens(3, kPrompt, 1);
  auto options = tokens(40);
  options.sampling.temperature = 2.0;
  options.check_every = 5;
  const auto endless = generate(decoder, prompt, options);
  options.end_tokens = {endless[1][6].item<int64_t>()};
  const int64_t end = options.end_tokens.front();
  const auto made = generate(decoder, prompt, options);
  CHECK(made.size(1) <= 40);
  for (int64_t row = 0; row < 3; ++row) {
    bool ended = false;
    for (int64_t t = 0; t < made.size(1); ++t) {
      const auto token = made[row][t].item<int64_t>();
      if (ended) {
        CHECK(token == end);
      } else {
        CHECK(token == endless[row][t].item<int64_t>());
      }
      ended = ended || token == end;
    }
  }
  CHECK(made[1][6].item<int64_t>() == end);
}

TEST_CASE("generation stops soon after every row has ended", "[generate]") {
  auto model = tiny_llama(3, tiny_cache());
  Decoder decoder(model, batch_of(1));
  const auto prompt = random_tokens(1, kPrompt, 1);
  auto options = tokens(40);
  options.end_tokens = {generate(decoder, prompt, options)[0][0].item<int64_t>()};
  options.check_every = 4;
  CHECK(generate(decoder, prompt, options).size(1) == 4);
}

TEST_CASE("tokens are told as they are made, each once and in order", "[generate]") {
  auto model = tiny_llama(3, tiny_cache());
  Decoder decoder(model, batch_of(2));
  const auto prompt = random_tokens(2, kPrompt, 1);
  const auto want = generate(decoder, prompt, tokens(40));
  for (const int64_t every : {1, 7, 40, 64}) {
    auto options = tokens(40);
    options.check_every = every;
    std::vector<torch::Tensor> told;
    options.on_tokens = [&](const torch::Tensor& new_BT) { told.push_back(new_BT); };
    CHECK_SAME(generate(decoder, prompt, options), want);
    CHECK(static_cast<int64_t>(told.size()) == (40 + every - 1) / every);
    CHECK_SAME(torch::cat(told, /*dim=*/1), want);
  }
  // What comes before the end of every row is told too.
  auto options = tokens(40);
  options.check_every = 4;
  options.end_tokens = {want[0][0].item<int64_t>()};
  Decoder alone(model, batch_of(1));
  int64_t count = 0;
  options.on_tokens = [&](const torch::Tensor& new_BT) { count += new_BT.size(1); };
  CHECK(generate(alone, prompt.narrow(0, 0, 1), options).size(1) == count);
}

TEST_CASE("only tokens below vocab_size are drawn", "[generate]") {
  auto model = tiny_llama(3, tiny_cache());
  Decoder decoder(model, batch_of(2));
  auto options = tokens(60);
  options.sampling.temperature = 10.0;
  options.vocab_size = 5;
  CHECK(generate(decoder, random_tokens(2, kPrompt, 1), options).max().item<int64_t>() < 5);
}

TEST_CASE("a seed means one text, another seed another", "[generate]") {
  auto model = tiny_llama(3, tiny_cache());
  Decoder decoder(model, batch_of(2));
  const auto prompt = random_tokens(2, kPrompt, 1);
  auto options = tokens(20);
  options.sampling.temperature = 1.0;
  const auto first = generate(decoder, prompt, options);
  CHECK_SAME(generate(decoder, prompt, options), first);
  options.sampling.seed = 2;
  CHECK_FALSE(torch::equal(generate(decoder, prompt, options), first));
}

TEST_CASE("each of several end tokens ends a row, and the first fills it", "[generate]") {
  auto model = tiny_llama(3, tiny_cache());
  Decoder decoder(model, batch_of(2));
  const auto prompt = random_tokens(2, kPrompt, 1);
  auto options = tokens(30);
  options.sampling.temperature = 2.0;
  options.check_every = 1;
  const auto endless = generate(decoder, prompt, options);
  const auto at = [&](const torch::Tensor& tokens_BT, int64_t row, int64_t t) {
    return tokens_BT[row][t].item<int64_t>();
  };
  options.end_tokens = {at(endless, 0, 4), at(endless, 1, 9)};
  const auto made = generate(decoder, prompt, options);
  int64_t longest = 0;
  for (int64_t row = 0; row < 2; ++row) {
    int64_t t = 0;
    const auto ends = [&](int64_t token) {
      return token == options.end_tokens[0] || token == options.end_tokens[1];
    };
    for (; !ends(at(endless, row, t)); ++t) CHECK(at(made, row, t) == at(endless, row, t));
    CHECK(at(made, row, t) == at(endless, row, t));
    longest = std::max(longest, t + 1);
    for (++t; t < made.size(1); ++t) CHECK(at(made, row, t) == options.end_tokens[0]);
  }
  CHECK(made.size(1) == longest);
}

TEST_CASE("whoever looks may end the answer, whose last token is not read", "[generate]") {
  auto model = tiny_llama(3, tiny_cache());
  Decoder decoder(model, batch_of(1));
  const auto prompt = random_tokens(1, kPrompt, 1);
  auto options = tokens(40);
  options.check_every = 3;
  int64_t looks = 0;
  options.is_over = [&] { return ++looks == 2; };
  CHECK(generate(decoder, prompt, options).size(1) == 6);
  CHECK(decoder.row(0).position == kPrompt + 5);
}

TEST_CASE("what an answer may have at most takes no memory, what it has does", "[generate]") {
  auto model = tiny_llama(3, tiny_cache());
  Decoder decoder(model, batch_of(2));
  const auto prompt = random_tokens(2, kPrompt, 1);
  auto options = tokens(int64_t{1} << 50);
  options.sampling.temperature = 1.0;
  int64_t seen = 0;
  std::vector<torch::Tensor> told;
  options.on_tokens = [&](const torch::Tensor& new_BT) {
    told.push_back(new_BT.clone());
    seen += new_BT.size(1);
  };
  options.is_over = [&] { return seen >= 2100; };  // room is made twice
  const auto made = generate(decoder, prompt, options);
  CHECK(made.size(1) == 2112);
  CHECK_SAME(torch::cat(told, /*dim=*/1), made);
  options.is_over = {};
  options.max_new_tokens = 1500;
  CHECK_SAME(generate(decoder, prompt, options), made.narrow(/*dim=*/1, 0, 1500));
}

TEST_CASE("a penalty holds for the prompt and the answer of each row alone", "[generate]") {
  auto model = tiny_llama(3, tiny_cache());
  Decoder decoder(model, batch_of(2));
  const auto prompt = random_tokens(2, kPrompt, 1);
  auto options = tokens(12);
  options.sampling.repetition_penalty = 1e6;  // logits of both signs: nothing comes twice
  const auto made = generate(decoder, prompt, options);
  for (int64_t row = 0; row < 2; ++row) {
    const auto all = torch::cat({std::get<0>(at::_unique(prompt[row])), made[row]});
    CHECK(std::get<0>(at::_unique(all)).size(0) == all.size(0));
    Decoder alone(model, batch_of(1));
    CHECK_SAME(generate(alone, prompt.narrow(0, row, 1), options)[0], made[row]);
  }
}
