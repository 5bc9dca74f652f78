#include "eval/model_answerer.h"

#include <algorithm>
#include <cmath>

#include "generate/continuation.h"
#include "tensor/kit/torch.h"
#include "tests/support/catch.h"
#include "tests/support/policies.h"
#include "tests/support/tensors.h"
#include "tests/support/tiny_llama.h"
#include "tests/support/user_error.h"

using namespace lococo;
using namespace lococo::testing;

namespace {

constexpr int64_t kVocabulary = 61;

/// Ids are their own text.
class IdTokenizer final : public Tokenizer {
 public:
  std::vector<int32_t> encode(const std::string&) const override { return {}; }
  std::vector<int32_t> encode_ordinary(const std::string&) const override { return {}; }
  std::string decode(const std::vector<int32_t>& ids) const override {
    std::string text;
    for (const int32_t id : ids) text += (text.empty() ? "" : " ") + std::to_string(id);
    return text;
  }
  int64_t vocab_size() const override { return kVocabulary; }
  int32_t bos_id() const override { return -1; }
  int32_t eos_id() const override { return -1; }
  std::optional<int32_t> special_id(const std::string&) const override { return {}; }
  uint64_t fingerprint() const override { return 1; }
};

std::vector<int32_t> random_ids(int64_t count, uint64_t seed) {
  const auto ids = random_tokens(1, count, seed)[0].to(torch::kInt32);
  return {ids.const_data_ptr<int32_t>(), ids.const_data_ptr<int32_t>() + count};
}

TaskSample open_sample(int64_t context, uint64_t seed) {
  TaskSample sample;
  sample.context_ids = random_ids(context, seed);
  sample.question_ids = random_ids(6, seed + 100);
  sample.max_new_tokens = 5;
  return sample;
}

std::vector<const TaskSample*> pointers(const std::vector<TaskSample>& samples) {
  std::vector<const TaskSample*> result;
  for (const auto& sample : samples) result.push_back(&sample);
  return result;
}

torch::Tensor as_row(const std::vector<int32_t>& ids) {
  return torch::tensor(ids, torch::kInt32).to(torch::kInt64);
}

DecoderOptions one_row() {
  DecoderOptions options;
  options.decode_buffer = 20;
  return options;
}

/// Reads a sample's context alone, as the answerer reads those of several.
void read_context(Decoder& decoder, const TaskSample& sample) {
  decoder.reset();
  decoder.extend({as_row(sample.context_ids)});
  decoder.compress();
}

}  // namespace

TEST_CASE("a model answers from the slots that it kept before it knew the question", "[eval]") {
  const IdTokenizer tokenizer;
  for (const auto& policy_case : all_policies()) {
    INFO(policy_case.name);
    auto model = tiny_llama(3, policy_case.cache);
    const std::vector<TaskSample> samples = {open_sample(40, 1), open_sample(31, 2),
                                             open_sample(3, 3)};
    ModelAnswerer answerer(model, tokenizer, 3, {}, {}, false);
    const auto answers = answerer.answer(pointers(samples));
    for (size_t i = 0; i < samples.size(); ++i) {
      Decoder decoder(model, one_row());
      read_context(decoder, samples[i]);
      const int64_t kept = decoder.row(0).size;
      CHECK(kept == std::min<int64_t>(policy_case.cache.slots,
                                      static_cast<int64_t>(samples[i].context_ids.size())));
      auto logits = decoder.append({as_row(samples[i].question_ids)});
      CHECK(decoder.row(0).size == kept + 6);  // nothing was dropped for the question
      std::vector<int32_t> want;
      for (int t = 0; t < 5; ++t) {
        const auto next = logits.argmax(-1);
        want.push_back(next.item().toInt());
        logits = decoder.step(next);
      }
      CHECK(answers[i].ids == want);
      CHECK(answers[i].text == tokenizer.decode(want));
    }
  }
}

TEST_CASE("an answer ends before an end token", "[eval]") {
  const IdTokenizer tokenizer;
  auto model = tiny_llama(3, tiny_cache());
  const std::vector<TaskSample> samples = {open_sample(40, 1)};
  const auto all =
      ModelAnswerer(model, tokenizer, 1, {}, {}, false).answer(pointers(samples))[0].ids;
  REQUIRE(all.size() == 5);
  const auto cut =
      ModelAnswerer(model, tokenizer, 1, {all[2]}, {}, false).answer(pointers(samples))[0].ids;
  const auto end = std::find(all.begin(), all.end(), all[2]);
  CHECK(cut == std::vector<int32_t>(all.begin(), end));
}

TEST_CASE("options are weighed by the probability of all of their tokens", "[eval]") {
  const IdTokenizer tokenizer;
  auto model = tiny_llama(3, tiny_cache());
  std::vector<TaskSample> samples = {open_sample(40, 1), open_sample(22, 2)};
  for (auto& sample : samples) sample.scoring = Scoring::kChoice;
  samples[0].option_ids = {{5, 6}, {7}, {5, 9, 11}};
  samples[1].option_ids = {{8}, {1, 2}};
  ModelAnswerer answerer(model, tokenizer, 2, {}, {}, false);
  const auto answers = answerer.answer(pointers(samples));
  for (size_t i = 0; i < 2; ++i) {
    REQUIRE(answers[i].option_log_likelihoods.size() == samples[i].option_ids.size());
    for (size_t option = 0; option < samples[i].option_ids.size(); ++option) {
      Decoder decoder(model, one_row());
      read_context(decoder, samples[i]);
      const auto logits = decoder.append({as_row(samples[i].question_ids)}).clone();
      const auto want =
          continuation_log_probabilities(decoder, logits, {samples[i].option_ids[option]});
      CHECK(std::abs(answers[i].option_log_likelihoods[option] - want[0]) < 1e-4);
    }
  }
}

TEST_CASE("a text ends before a stop text, and a model without numbers is no answerer", "[eval]") {
  const IdTokenizer tokenizer;
  auto model = tiny_llama(3, tiny_cache());
  const std::vector<TaskSample> samples = {open_sample(40, 1)};
  const auto whole = ModelAnswerer(model, tokenizer, 1, {}, {}, false).answer(pointers(samples))[0];
  const std::string stop = " " + std::to_string(whole.ids[1]) + " ";
  const auto cut =
      ModelAnswerer(model, tokenizer, 1, {}, {"nowhere", stop}, false).answer(pointers(samples))[0];
  CHECK(cut.ids == whole.ids);
  CHECK(cut.text == whole.text.substr(0, whole.text.find(stop)));

  torch::NoGradGuard no_grad;
  model->model->norm->weight.fill_(std::nan(""));
  auto choice = samples;
  choice[0].scoring = Scoring::kChoice;
  choice[0].option_ids = {{1}, {2}};
  for (const auto& asked : {samples, choice}) {
    ModelAnswerer answerer(model, tokenizer, 1, {}, {}, false);
    CHECK_CONTAINS(user_error_of([&] { answerer.answer(pointers(asked)); }), "not finite");
  }
}
