// One question of an evaluation task, and what somebody answered.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace lococo {

enum class Scoring {
  kPrefix,       ///< the greedy ids begin with the answer's ids
  kContainsAll,  ///< share of the answers whose text occurs in the answer (RULER: string_match_all)
  kContainsAny,  ///< whether any does (RULER: string_match_part)
  kChoice,       ///< the option with the highest log-likelihood is the right one
  kQa,           ///< exact match, F1, ROUGE-L against the best of the answers
};

/// prefix, contains_all, contains_any, choice, qa.
const char* name_of(Scoring scoring);

inline constexpr double kNoDepth = -1.0;

struct TaskSample {
  std::string task, kind;   ///< "needle", "words"; kind is empty for tasks of one kind
  int64_t length = 0;       ///< most tokens of the prompt; 0: as long as the user's file made it
  double depth = kNoDepth;  ///< percent of the text before what is asked; kNoDepth: drawn, or none
  int64_t trial = 0;

  std::vector<int32_t> context_ids;   ///< read (and compressed) first
  std::vector<int32_t> question_ids;  ///< from the question to where the answer begins
  Scoring scoring = Scoring::kPrefix;
  int64_t max_new_tokens = 0;        ///< enough for every right answer; 0: nothing is generated
  std::vector<std::string> answers;  ///< right ones; empty for kChoice
  std::vector<int32_t> answer_ids;   ///< kPrefix: ids with which the prompt goes on if right

  std::vector<std::string> options;              ///< kChoice
  std::vector<std::vector<int32_t>> option_ids;  ///< with which the prompt goes on
  int64_t correct = -1;                          ///< index of the right option

  /// Context tokens up to the end of what is asked for; -1: not one place.
  int64_t fact_end = -1;

  /// The answer of somebody who knows how answers look but not the text, and his expected score
  /// (kQa: of exact match): what every result is to be compared with.
  std::string guess;
  std::vector<int32_t> guess_ids;  ///< kPrefix
  int64_t guess_option = -1;       ///< kChoice
  double chance = 0.0;

  int64_t num_tokens() const {
    return static_cast<int64_t>(context_ids.size() + question_ids.size());
  }
};

struct TaskAnswer {
  std::vector<int32_t> ids;                    ///< generated, at most max_new_tokens
  std::string text;                            ///< the same as text
  std::vector<double> option_log_likelihoods;  ///< kChoice: sum over each option's ids
};

}  // namespace lococo
