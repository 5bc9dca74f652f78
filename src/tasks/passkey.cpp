#include "tasks/passkey.h"

#include "questions/facts.h"
#include "tasks/least_length.h"
#include "tasks/passkey_text.h"

namespace lococo {
namespace {

constexpr int64_t kDigits = 5;
constexpr double kChance = 1.0 / 90000;
constexpr const char* kQuestionBehindTexts =
    "Here is the quiz about the important information. What number is the pass key?";

}  // namespace

PasskeySource::PasskeySource(const EvalTaskConfig& task, const std::vector<int64_t>& lengths,
                             const Hay* texts, const PromptForm& form)
    : seed_(task.seed),
      min_distance_(task.distance),
      hay_(task.hay),
      grid_(task, lengths, {}, /*with_depths=*/true),
      filler_(Hay::filler()),
      fitter_(task.hay == HayKind::kTexts ? *texts : filler_, form) {}

TaskSample PasskeySource::sample(int64_t index) {
  return with_room("passkey", grid_.sample(index), grid_.trials(),
                   [&](TaskSample cell) { return made(std::move(cell)); });
}

TaskSample PasskeySource::made(TaskSample sample) {
  const PromptForm& form = fitter_.form();
  Draws draws(hash_u64(seed_, static_cast<uint64_t>(sample.trial), hash_of_text(sample.task)));
  const std::string key = draw_number(kDigits, &draws);
  const double drawn_depth = draws.uniform();
  const uint64_t place = draws.next();
  sample.guess = draw_number(kDigits, &draws);

  PromptText text;
  text.before = kPasskeyBefore;
  text.inserts = {{filled(kPasskeyFact, "{a}", key),
                   sample.depth == kNoDepth ? drawn_depth : sample.depth / 100.0, true,
                   sample.depth != kNoDepth}};
  text.question = hay_ == HayKind::kTexts ? kQuestionBehindTexts : kPasskeyQuestion;
  text.answer_prefix = kPasskeyPrefix;
  text.min_distance = min_distance_;
  FittedPrompt fitted = fitter_.fit(text, sample.length, place);

  sample.context_ids = std::move(fitted.ids.context);
  sample.question_ids = std::move(fitted.ids.question);
  sample.fact_end = fitted.fact_ends[0];
  sample.answers = {key};
  sample.answer_ids = form.answer_ids(kPasskeyPrefix, key);
  sample.guess_ids = form.answer_ids(kPasskeyPrefix, sample.guess);
  sample.chance = kChance;
  sample.scoring = Scoring::kPrefix;
  sample.max_new_tokens = static_cast<int64_t>(sample.answer_ids.size());
  return sample;
}

}  // namespace lococo
