#include "generate/continuation.h"

#include <cmath>

#include "tensor/kit/torch.h"
#include "tests/support/catch.h"
#include "tests/support/policies.h"
#include "tests/support/tensors.h"
#include "tests/support/tiny_llama.h"

using namespace lococo;
using namespace lococo::testing;

TEST_CASE("continuations have the probabilities that one forward gives them", "[generate]") {
  auto model = tiny_llama(3);
  DecoderOptions options;
  options.batch = 3;
  options.max_tokens = 20;
  Decoder decoder(model, options);
  const auto prompt = random_tokens(3, 12, 1);
  const auto logits = decoder.prefill(prompt).clone();
  const auto saved = decoder.save();
  const std::vector<std::vector<int32_t>> continuations = {{5, 7, 1, 9}, {}, {3, 3}};
  const auto got = continuation_log_probabilities(decoder, logits, continuations);

  const torch::NoGradGuard no_grad;
  for (int64_t row = 0; row < 3; ++row) {
    const auto& option = continuations[static_cast<size_t>(row)];
    auto tokens = prompt[row];
    double want = 0;
    for (const int32_t id : option) {
      const auto hidden = model->forward(tokens.unsqueeze(0)).select(1, -1);
      const auto log_V = torch::log_softmax(hidden.matmul(model->head_weight().t())[0], -1);
      want += log_V[id].item<double>();
      tokens = torch::cat({tokens, torch::tensor({static_cast<int64_t>(id)})});
    }
    CHECK(std::abs(got[static_cast<size_t>(row)] - want) < 1e-4);
  }
  decoder.restore(saved);
  const auto again = continuation_log_probabilities(decoder, saved.logits_BV, continuations);
  CHECK(again == got);
}
