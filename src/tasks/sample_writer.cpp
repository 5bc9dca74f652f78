#include "tasks/sample_writer.h"

#include <algorithm>
#include <nlohmann/json.hpp>

namespace lococo {

using nlohmann::json;

json sample_json(const TaskSample& sample) {
  json out;
  out["task"] = sample.task;
  out["kind"] = sample.kind;
  out["length"] = sample.length;
  out["depth"] = sample.depth == kNoDepth ? json(nullptr) : json(sample.depth);
  out["trial"] = sample.trial;
  out["context_ids"] = sample.context_ids;
  out["question_ids"] = sample.question_ids;
  out["answers"] = sample.answers;
  out["answer_ids"] = sample.answer_ids;
  out["scoring"] = name_of(sample.scoring);
  out["max_new_tokens"] = sample.max_new_tokens;
  out["options"] = sample.options;
  out["option_ids"] = sample.option_ids;
  out["correct"] = sample.correct;
  out["fact_end"] = sample.fact_end;
  out["chance"] = sample.chance;
  return out;
}

json answered_json(const TaskSample& sample, const TaskAnswer& answer,
                   const std::vector<Score>& scores) {
  json out = sample_json(sample);
  out["answer"] = answer.text;
  if (sample.scoring == Scoring::kChoice) {
    const auto& sums = answer.option_log_likelihoods;
    out["option_log_likelihoods"] = sums;
    const auto best = std::max_element(sums.begin(), sums.end()) - sums.begin();
    out["answer"] = sample.options.at(static_cast<size_t>(best));
  }
  json named = json::object();
  for (const Score& score : scores) named[score.metric] = score.value;
  out["scores"] = std::move(named);
  out["score"] = scores.at(0).value;
  return out;
}

std::string json_line(const json& value) {
  return value.dump(-1, ' ', false, json::error_handler_t::replace);
}

}  // namespace lococo
