// An evaluation in the middle of a training as numbers for its metrics.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "eval/evaluation_report.h"
#include "eval/record_report.h"

namespace lococo {

/// "nll_4096" and "far_nll_4096" of each length, and "answer_nll" where records were scored.
std::map<std::string, double> evaluation_values(const std::vector<LengthResult>& results,
                                                const std::vector<RecordResult>& records);

}  // namespace lococo
