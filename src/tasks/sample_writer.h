// Samples as JSON, so that others can ask the same questions.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "tasks/scoring.h"

namespace lococo {

/// The fields of a sample: task, kind, length, depth (percent, null where it is drawn or there is
/// none), trial, context_ids, question_ids, answers, answer_ids, scoring, max_new_tokens, options,
/// option_ids, correct (-1: not a choice), fact_end (-1: none), chance.
nlohmann::json sample_json(const TaskSample& sample);

/// The same with "answer" (what was generated; for a choice the option of the highest
/// log-likelihood) and "scores": {metric: value}; "score" is the main one.
nlohmann::json answered_json(const TaskSample& sample, const TaskAnswer& answer,
                             const std::vector<Score>& scores);

/// One line, without its newline. Bytes that are not UTF-8 become U+FFFD.
std::string json_line(const nlohmann::json& value);

}  // namespace lococo
