#include "train/evaluation_values.h"

namespace lococo {

std::map<std::string, double> evaluation_values(const std::vector<LengthResult>& results,
                                                const std::vector<RecordResult>& records) {
  std::map<std::string, double> values;
  for (const auto& result : results) {
    const auto suffix = "_" + std::to_string(result.length);
    values["nll" + suffix] =
        pool(result.segments, &SegmentScore::nll_sum, &SegmentScore::targets).mean;
    values["far_nll" + suffix] =
        pool(result.segments, &SegmentScore::far_sum, &SegmentScore::far_targets).mean;
  }
  if (!records.empty()) values["answer_nll"] = answer_nll(records).mean;
  return values;
}

}  // namespace lococo
