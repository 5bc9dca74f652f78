#include "eval/record_report.h"

#include <cmath>
#include <iomanip>
#include <nlohmann/json.hpp>
#include <sstream>

#include "config/config_write.h"
#include "core/build_info.h"
#include "report/json_number.h"

namespace lococo {
namespace {

PooledMean pooled(const std::vector<SegmentScore>& records) {
  return pool(records, &SegmentScore::nll_sum, &SegmentScore::targets);
}

nlohmann::ordered_json file_json(const RecordResult& result, bool per_record) {
  const auto all = pooled(result.records);
  nlohmann::ordered_json json = {{"path", result.path},
                                 {"records", result.records.size()},
                                 {"targets", all.targets},
                                 {"answer_nll", json_number(all.mean)},
                                 {"answer_nll_se", json_number(all.standard_error)},
                                 {"dropped", result.counts.dropped},
                                 {"truncated", result.counts.truncated},
                                 {"split", result.counts.split},
                                 {"seconds", result.seconds}};
  if (!per_record) return json;
  json["per_record"] = nlohmann::ordered_json::array();
  for (const auto& score : result.records) {
    json["per_record"].push_back(
        {{"line", score.document},
         {"targets", score.targets},
         {"nll", json_number(score.nll_sum / static_cast<double>(score.targets))}});
  }
  return json;
}

}  // namespace

PooledMean answer_nll(const std::vector<RecordResult>& results) {
  std::vector<SegmentScore> all;
  for (const auto& result : results)
    all.insert(all.end(), result.records.begin(), result.records.end());
  return pooled(all);
}

std::string records_table(const std::vector<RecordResult>& results) {
  std::ostringstream out;
  out << " records  targets answer_nll       +-  file\n" << std::fixed << std::setprecision(4);
  for (const auto& result : results) {
    const auto all = pooled(result.records);
    out << std::setw(8) << result.records.size() << std::setw(9) << all.targets << std::setw(11)
        << all.mean << std::setw(9);
    if (std::isnan(all.standard_error)) {
      out << "-";
    } else {
      out << all.standard_error;
    }
    out << "  " << result.path << "\n";
  }
  return out.str();
}

std::string records_json(const Config& config, const std::vector<RecordResult>& results) {
  nlohmann::ordered_json json;
  json["records"] = nlohmann::ordered_json::array();
  for (const auto& result : results)
    json["records"].push_back(file_json(result, config.eval.per_segment));
  json["model"] = config.model.path;
  json["adapter"] = config.model.adapter;
  json["git_revision"] = std::string(git_revision());
  json["config"] = config_to_yaml(config);
  return json.dump(1) + "\n";
}

std::string non_finite_record(const std::vector<RecordResult>& results) {
  for (const auto& result : results) {
    for (const auto& score : result.records) {
      if (std::isfinite(score.nll_sum)) continue;
      return "the NLL of the answer of " + result.path + ":" + std::to_string(score.document) +
             " is not finite: the model computes no numbers there; check the weights of "
             "model.path and model.adapter, or use model.dtype: float32";
    }
  }
  return "";
}

}  // namespace lococo
