#include <algorithm>

#include "model/registry.h"
#include "pass/bptt_windows.h"
#include "pass/loss.h"
#include "pass/sequence_pass.h"
#include "tensor/kit/torch.h"
#include "tests/pass/train_once.h"
#include "tests/support/catch.h"
#include "tests/support/policies.h"
#include "tests/support/tensors.h"
#include "tests/support/tiny_llama.h"

using namespace lococo;
using namespace lococo::testing;

namespace {

/// Documents of these lengths in tokens; the last `answer` tokens of each are targets.
struct Texts {
  std::vector<int64_t> lengths;
  int64_t answer = 4;
};

int64_t rounded_up(int64_t n, int64_t step) { return (n + step - 1) / step * step; }

/// One row with documents [first, first + count), each from a multiple of `step` on, the last input
/// at one too.
Batch row_of(const Texts& texts, size_t first, size_t count, int64_t step, bool with_documents) {
  std::vector<int64_t> begins;
  int64_t end = 0;
  for (size_t i = first; i < first + count; ++i) {
    begins.push_back(rounded_up(end, step));
    end = begins.back() + texts.lengths[i];
  }
  const int64_t T = rounded_up(end - 1, step);
  Batch row = {torch::zeros({1, T + 1}, torch::kInt64), torch::zeros({1, T}, torch::kUInt8)};
  Documents documents;
  documents.rows.emplace_back();
  for (size_t i = 0; i < count; ++i) {
    const int64_t begin = begins[i], length = texts.lengths[first + i];
    row.tokens_BT.narrow(/*dim=*/1, begin, length)
        .copy_(random_tokens(1, length, /*seed=*/first + i));
    row.kinds_BT.narrow(/*dim=*/1, begin + length - 1 - texts.answer, texts.answer).fill_(3);
    documents.rows[0].push_back({begin, std::min(T, begin + rounded_up(length - 1, step))});
  }
  if (with_documents) row.documents = std::make_shared<const Documents>(std::move(documents));
  return row;
}

/// Two rows with documents as one batch.
Batch together(const Batch& a, const Batch& b) {
  const int64_t T = std::max(a.kinds_BT.size(1), b.kinds_BT.size(1));
  const auto joined = [T](const torch::Tensor& x, const torch::Tensor& y, int64_t more) {
    const auto padded = [&](const torch::Tensor& row) {
      return torch::constant_pad_nd(row, {0, T + more - row.size(1)});
    };
    return torch::cat({padded(x), padded(y)});
  };
  Documents documents;
  documents.rows = {a.documents->rows[0], b.documents->rows[0]};
  return {joined(a.tokens_BT, b.tokens_BT, 1), joined(a.kinds_BT, b.kinds_BT, 0),
          std::make_shared<const Documents>(std::move(documents))};
}

struct Sums {
  double loss = 0;
  int64_t targets = 0;
  TensorMap gradients;
};

/// The sums over several calls of a pass, on a model with all parts trained.
Sums train(const CacheConfig& cache, SequencePass& pass, const std::vector<Batch>& batches) {
  auto model = tiny_llama(3, cache);
  const ParameterRegistry registry(model, tune_all_parts(), 0.0, torch::kFloat32);
  Sums outcome;
  for (const Batch& batch : batches) {
    const auto result = pass.train(model, batch);
    outcome.loss += result.loss_sum.item<double>();
    outcome.targets += result.targets;
  }
  for (const auto& parameter : registry.trainable()) {
    const auto& gradient = parameter.tensor.grad();  // undefined: nothing was compressed
    outcome.gradients[parameter.name] =
        gradient.defined() ? gradient.clone() : torch::zeros_like(parameter.tensor);
  }
  return outcome;
}

void check_same(const Sums& got, const Sums& want) {
  CHECK(got.targets == want.targets);
  const auto targets = static_cast<double>(want.targets);
  CHECK(got.loss / targets == Approx(want.loss / targets).margin(1e-5));
  for (const auto& [name, gradient] : want.gradients) {
    INFO(name);
    CHECK_CLOSE(got.gradients.at(name), gradient, kThroughModel);
  }
}

const Texts kTexts = {{17, 9, 25, 6, 30}};

/// The five documents, each by itself.
std::vector<Batch> apart(int64_t step) {
  std::vector<Batch> batches;
  for (size_t i = 0; i < kTexts.lengths.size(); ++i)
    batches.push_back(row_of(kTexts, i, 1, step, /*with_documents=*/false));
  return batches;
}

/// The same in two rows.
Batch packed(int64_t step) {
  return together(row_of(kTexts, 0, 3, step, true), row_of(kTexts, 3, 2, step, true));
}

}  // namespace

TEST_CASE("packed documents have the loss and gradients that each has by itself", "[pass]") {
  const auto pass = make_full_sequence_pass(kLossChunk, /*checkpoint_layers=*/false);
  const auto want = train({}, *pass, apart(1));
  CHECK(want.targets == 5 * 4);
  check_same(train({}, *pass, {packed(1)}), want);
  const auto checkpointed = make_full_sequence_pass(kLossChunk, /*checkpoint_layers=*/true);
  check_same(train({}, *checkpointed, {packed(1)}), want);
}

TEST_CASE("packed documents have the segments that each has by itself", "[pass]") {
  for (const PatternKind kind : {PatternKind::kS2, PatternKind::kSf}) {
    AttentionConfig attention;
    attention.pattern = kind;
    attention.group_tokens = 8;
    attention.sinks = kind == PatternKind::kSf ? 2 : 0;
    const auto pass = make_full_sequence_pass(kLossChunk, /*checkpoint_layers=*/true,
                                              /*wants_kinds=*/true, {attention, 64});
    const auto want = train({}, *pass, apart(1));
    check_same(train({}, *pass, {packed(1)}), want);
    const auto full = make_full_sequence_pass(kLossChunk, /*checkpoint_layers=*/false);
    CHECK(std::abs(train({}, *full, {packed(1)}).loss - want.loss) > 1e-2);
  }
}

TEST_CASE("without their ranges packed documents see each other", "[pass]") {
  const auto pass = make_full_sequence_pass(kLossChunk, false);
  auto batch = packed(1);
  const auto apart_loss = train({}, *pass, {batch}).loss;
  batch.documents = nullptr;
  CHECK(std::abs(train({}, *pass, {batch}).loss - apart_loss) > 1e-2);
}

TEST_CASE("blockwise, every document begins with an empty cache", "[pass]") {
  const bool boundary_targets = GENERATE(true, false);
  for (auto policy : all_policies()) {
    policy.cache.boundary_targets = boundary_targets;
    INFO(policy.name << ", boundary targets " << policy.cache.boundary_targets);
    const auto pass = make_blockwise_pass(policy.cache, kLossChunk, /*cuda_graphs=*/false);
    const int64_t block = policy.cache.block;
    check_same(train(policy.cache, *pass, {packed(block)}),
               train(policy.cache, *pass, apart(block)));
  }
}

TEST_CASE("windows of blocks end with their document", "[pass]") {
  auto cache = tiny_cache();
  cache.boundary_targets = true;
  cache.bptt_blocks = 3;
  const auto pass = make_blockwise_pass(cache, kLossChunk, /*cuda_graphs=*/false);
  check_same(train(cache, *pass, {packed(cache.block)}), train(cache, *pass, apart(cache.block)));
}

TEST_CASE("blockwise, ignored targets count neither in the loss nor in the gradients", "[pass]") {
  auto cache = tiny_cache();
  cache.boundary_targets = true;
  for (const int64_t window : {1, 2}) {
    cache.bptt_blocks = window;
    const auto pass = make_blockwise_pass(cache, kLossChunk, /*cuda_graphs=*/false);
    const auto tokens = random_tokens(2, 33, 1);
    auto kinds_BT = torch::ones({2, 32}, torch::kUInt8);
    const auto all = train(cache, *pass, {{tokens}});
    check_same(train(cache, *pass, {{tokens, kinds_BT}}), all);
    CHECK(all.targets == 64);
    // Inputs reach no target before them: blocks that are ignored are as good as missing.
    kinds_BT.narrow(/*dim=*/1, 16, 16).zero_();
    check_same(train(cache, *pass, {{tokens, kinds_BT}}),
               train(cache, *pass, {{tokens.narrow(/*dim=*/1, 0, 17)}}));
  }
}

TEST_CASE("a pass meets sequences of any length in turn", "[pass]") {
  auto cache = tiny_cache();
  cache.boundary_targets = true;
  const auto pass = make_blockwise_pass(cache, kLossChunk, /*cuda_graphs=*/false);
  for (const int64_t length : {9, 41, 17, 41, 9}) {
    const auto tokens = random_tokens(1, length, 5);
    const auto fresh = make_blockwise_pass(cache, kLossChunk, /*cuda_graphs=*/false);
    check_same(train(cache, *pass, {{tokens}}), train(cache, *fresh, {{tokens}}));
  }
}
