// What an evaluation of records found, for people and as JSON.
#pragma once

#include <string>
#include <vector>

#include "config/config.h"
#include "eval/evaluation_report.h"
#include "eval/record_evaluator.h"

namespace lococo {

/// Over all targets of all files, records as clusters.
PooledMean answer_nll(const std::vector<RecordResult>& results);

/// A line for each file: records, targets, NLL of a target of an answer and its standard error.
std::string records_table(const std::vector<RecordResult>& results);

/// {"records": [{"path", "records", "targets", "answer_nll", "answer_nll_se", "dropped", ...}],
/// "model", ...}; per record {"line", "targets", "nll"} if eval.per_segment asks.
std::string records_json(const Config& config, const std::vector<RecordResult>& results);

/// One line about the first record whose NLL is not finite; empty when there is none.
std::string non_finite_record(const std::vector<RecordResult>& results);

}  // namespace lococo
