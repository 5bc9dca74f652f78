#include "tasks/needle.h"

#include <stdexcept>

#include "questions/question_generator.h"
#include "tasks/least_length.h"

namespace lococo {
namespace {

constexpr int64_t kManyKeys = 4;

FactKind fact_kind(const std::string& kind) {
  if (kind == "digits" || kind == "multikey") return FactKind::kDigits;
  if (kind == "words") return FactKind::kWords;
  if (kind == "names") return FactKind::kNames;
  if (kind == "paraphrase") return FactKind::kParaphrase;
  throw std::logic_error("a kind of needle");
}

}  // namespace

NeedleSource::NeedleSource(const EvalTaskConfig& task, const std::vector<int64_t>& lengths,
                           const Hay& texts, const PromptForm& form)
    : task_(task),
      grid_(task, lengths, {"digits", "words", "names", "paraphrase", "multikey"},
            /*with_depths=*/true),
      fitter_(texts, form) {}

TaskSample NeedleSource::sample(int64_t index) {
  return with_room("needle", grid_.sample(index), grid_.trials(),
                   [&](TaskSample cell) { return made(std::move(cell)); });
}

TaskSample NeedleSource::made(TaskSample sample) {
  QuestionOptions options;
  options.kind = fact_kind(sample.kind);
  options.split = task_.split;
  options.facts = sample.kind == "multikey" ? kManyKeys : 1;
  if (sample.depth != kNoDepth) options.depths = {sample.depth / 100.0};
  options.min_distance = task_.distance;
  options.distractors = task_.distractors;
  LongQuestion question = make_question(options, sample.length, task_.seed, sample.trial, &fitter_);
  AskedFact& asked = question.asked[0];
  sample.context_ids = std::move(question.context_ids);
  sample.question_ids = std::move(asked.question_ids);
  sample.fact_end = asked.end;
  sample.answers = {asked.fact.answer};
  sample.answer_ids = std::move(asked.answer_ids);
  sample.guess = asked.fact.guess;
  sample.guess_ids = std::move(asked.guess_ids);
  sample.chance = asked.fact.chance;
  sample.scoring = Scoring::kPrefix;
  sample.max_new_tokens = static_cast<int64_t>(sample.answer_ids.size());
  return sample;
}

}  // namespace lococo
