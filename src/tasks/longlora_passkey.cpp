#include "tasks/longlora_passkey.h"

#include <random>

#include "core/error.h"
#include "questions/facts.h"
#include "questions/hay.h"
#include "tasks/passkey_text.h"

namespace lococo {
namespace {

constexpr int64_t kRounds = 5000, kKeys = 49999;
constexpr double kCharactersPerToken = 3.75;

std::string filler() {
  const Hay sentences = Hay::filler();
  std::string text;
  for (int64_t i = 0; i < kRounds * sentences.num_units(); ++i)
    text.append(sentences.unit(i).text).append(sentences.unit(i).separator);
  text.pop_back();  // the last blank
  return text;
}

/// In [0, count): NumPy's legacy draw, which throws away what lies beyond the range.
int64_t draw_below(int64_t count, std::mt19937* generator) {
  uint32_t mask = 1;
  while (mask < static_cast<uint64_t>(count) - 1) mask = mask << 1 | 1;
  uint32_t drawn = 0;
  do {
    drawn = static_cast<uint32_t>((*generator)()) & mask;
  } while (static_cast<int64_t>(drawn) >= count);
  return drawn;
}

}  // namespace

int64_t longlora_filler_characters(int64_t tokens) {
  return static_cast<int64_t>(kCharactersPerToken * static_cast<double>(tokens) / 1024) * 1024;
}

LongLoraPasskey longlora_passkey(int64_t trial, int64_t filler_characters) {
  std::mt19937 generator(static_cast<uint32_t>(trial));
  LongLoraPasskey drawn;
  drawn.before = draw_below(filler_characters, &generator);
  drawn.key = 1 + draw_below(kKeys, &generator);
  return drawn;
}

LongLoraPasskeySource::LongLoraPasskeySource(const EvalTaskConfig& task,
                                             const std::vector<int64_t>& lengths,
                                             const PromptForm& form)
    : grid_(task, lengths, {}, /*with_depths=*/false), form_(form), filler_(filler()) {
  for (const int64_t length : lengths) {
    const int64_t wanted = longlora_filler_characters(length);
    if (wanted > 0 && wanted <= static_cast<int64_t>(filler_.size())) continue;
    throw UserError("eval.lengths: " + std::to_string(length) +
                    " tokens need another amount of filler than LongLoRA's code has (1,024 to " +
                    std::to_string(filler_.size()) +
                    " characters); use 274 to 120,149, or eval.hay: filler");
  }
}

TaskSample LongLoraPasskeySource::sample(int64_t index) {
  TaskSample sample = grid_.sample(index);
  sample.task = "passkey";
  const int64_t characters = longlora_filler_characters(sample.length);
  const auto drawn = longlora_passkey(sample.trial, characters);
  const auto part = [&](int64_t count) { return filler_.substr(0, static_cast<size_t>(count)); };
  const std::string key = std::to_string(drawn.key);
  const std::string known =
      kPasskeyBefore + part(drawn.before) + "\n" + filled(kPasskeyFact, "{a}", key) + "\n";
  auto ids =
      form_.ids(known + part(characters - drawn.before) + "\n", kPasskeyQuestion, kPasskeyPrefix);
  sample.context_ids = std::move(ids.context);
  sample.question_ids = std::move(ids.question);
  sample.fact_end =
      static_cast<int64_t>(form_.ids(known, kPasskeyQuestion, kPasskeyPrefix).context.size());
  sample.answers = {key};
  sample.answer_ids = form_.answer_ids(kPasskeyPrefix, key);
  sample.guess = std::to_string(drawn.key % kKeys + 1);
  sample.guess_ids = form_.answer_ids(kPasskeyPrefix, sample.guess);
  sample.chance = 1.0 / static_cast<double>(kKeys);
  sample.scoring = Scoring::kPrefix;
  sample.max_new_tokens = static_cast<int64_t>(sample.answer_ids.size());
  return sample;
}

}  // namespace lococo
