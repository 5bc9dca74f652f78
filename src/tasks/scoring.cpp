#include "tasks/scoring.h"

#include <algorithm>
#include <stdexcept>

#include "questions/facts.h"
#include "tasks/text_metrics.h"

namespace lococo {
namespace {

double begins_with(const std::vector<int32_t>& ids, const std::vector<int32_t>& begin) {
  return ids.size() >= begin.size() && std::equal(begin.begin(), begin.end(), ids.begin()) ? 1 : 0;
}

double contained(const TaskSample& sample, const std::string& text) {
  const std::string lower = lower_case(text);
  return static_cast<double>(
      std::count_if(sample.answers.begin(), sample.answers.end(), [&](const std::string& answer) {
        return lower.find(lower_case(answer)) != std::string::npos;
      }));
}

template <typename Metric>
double best_of(const TaskSample& sample, const std::string& text, const Metric& metric) {
  double best = 0.0;
  for (const std::string& gold : sample.answers) best = std::max(best, metric(text, gold));
  return best;
}

std::vector<Score> choice_scores(const TaskSample& sample, const std::vector<double>& sums) {
  if (sums.size() != sample.options.size()) throw std::logic_error("one figure for each option");
  std::vector<double> per_byte(sums.size());
  for (size_t i = 0; i < sums.size(); ++i) {
    per_byte[i] = sums[i] / static_cast<double>(std::max<size_t>(sample.options[i].size(), 1));
  }
  const auto is_right = [&](const std::vector<double>& values) {
    const auto chosen = std::max_element(values.begin(), values.end()) - values.begin();
    return chosen == sample.correct ? 1.0 : 0.0;
  };
  return {{"accuracy", is_right(sums), true}, {"accuracy_norm", is_right(per_byte), true}};
}

TaskAnswer answer_of_option(const TaskSample& sample, int64_t option) {
  constexpr double kUnlikely = -1e6;
  TaskAnswer answer;
  answer.option_log_likelihoods.assign(sample.options.size(), kUnlikely);
  answer.option_log_likelihoods.at(static_cast<size_t>(option)) = 0.0;
  answer.text = sample.options[static_cast<size_t>(option)];
  return answer;
}

}  // namespace

const char* name_of(Scoring scoring) {
  switch (scoring) {
    case Scoring::kPrefix:
      return "prefix";
    case Scoring::kContainsAll:
      return "contains_all";
    case Scoring::kContainsAny:
      return "contains_any";
    case Scoring::kChoice:
      return "choice";
    case Scoring::kQa:
      break;
  }
  return "qa";
}

std::vector<Score> scores_of(const TaskSample& sample, const TaskAnswer& answer) {
  switch (sample.scoring) {
    case Scoring::kPrefix:
      return {{"accuracy", begins_with(answer.ids, sample.answer_ids), true}};
    case Scoring::kContainsAll: {
      const auto count = static_cast<double>(sample.answers.size());
      return {{"match", contained(sample, answer.text) / count, sample.answers.size() == 1}};
    }
    case Scoring::kContainsAny:
      return {{"match", contained(sample, answer.text) > 0 ? 1.0 : 0.0, true}};
    case Scoring::kChoice:
      return choice_scores(sample, answer.option_log_likelihoods);
    case Scoring::kQa:
      break;
  }
  return {{"f1", best_of(sample, answer.text, token_f1), false},
          {"exact_match", best_of(sample, answer.text, exact_match), true},
          {"rouge_l", best_of(sample, answer.text, rouge_l), false}};
}

TaskAnswer oracle_answer(const TaskSample& sample) {
  if (sample.scoring == Scoring::kChoice) return answer_of_option(sample, sample.correct);
  TaskAnswer answer;
  answer.ids = sample.answer_ids;
  if (sample.scoring == Scoring::kQa) {
    answer.text = sample.answers.at(0);
    return answer;
  }
  answer.text = joined(sample.answers, ", ");
  return answer;
}

TaskAnswer random_answer(const TaskSample& sample) {
  if (sample.scoring == Scoring::kChoice) return answer_of_option(sample, sample.guess_option);
  TaskAnswer answer;
  answer.ids = sample.guess_ids;
  answer.text = sample.guess;
  return answer;
}

}  // namespace lococo
