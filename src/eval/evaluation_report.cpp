#include "eval/evaluation_report.h"

#include <cmath>
#include <iomanip>
#include <limits>
#include <nlohmann/json.hpp>
#include <sstream>

#include "config/config_write.h"
#include "core/build_info.h"
#include "core/units.h"
#include "report/json_number.h"

namespace lococo {
namespace {

struct Report {
  PooledMean all, far, near, fresh;
};

Report report_of(const LengthResult& result) {
  const auto& s = result.segments;
  return {pool(s, &SegmentScore::nll_sum, &SegmentScore::targets),
          pool(s, &SegmentScore::far_sum, &SegmentScore::far_targets),
          pool(s, &SegmentScore::near_sum, &SegmentScore::near_targets),
          pool(s, &SegmentScore::new_sum, &SegmentScore::new_targets)};
}

/// A column of the table: "-" for a figure that does not exist, such as a mean over nothing.
std::string cell(double value, int width, int digits) {
  std::ostringstream text;
  text << std::setw(width);
  if (std::isnan(value)) {
    text << "-";
  } else {
    text << std::fixed << std::setprecision(digits) << value;
  }
  return text.str();
}

nlohmann::ordered_json segment_json(const SegmentScore& s) {
  auto mean = [](double sum, int64_t count) {
    return json_number(sum / static_cast<double>(count));
  };
  return {{"source", s.source},
          {"document", s.document},
          {"begin", s.begin},
          {"nll", mean(s.nll_sum, s.targets)},
          {"far_nll", mean(s.far_sum, s.far_targets)},
          {"far_targets", s.far_targets},
          {"near_nll", mean(s.near_sum, s.near_targets)},
          {"near_targets", s.near_targets},
          {"new_nll", mean(s.new_sum, s.new_targets)},
          {"new_targets", s.new_targets}};
}

nlohmann::ordered_json length_json(const LengthResult& result, bool per_segment) {
  const auto report = report_of(result);
  const double tokens = static_cast<double>(report.all.targets);
  nlohmann::ordered_json json = {{"length", result.length},
                                 {"segments", result.segments.size()},
                                 {"tokens", report.all.targets},
                                 {"nll", json_number(report.all.mean)},
                                 {"nll_se", json_number(report.all.standard_error)},
                                 {"far_nll", json_number(report.far.mean)},
                                 {"far_se", json_number(report.far.standard_error)},
                                 {"far_targets", report.far.targets},
                                 {"near_nll", json_number(report.near.mean)},
                                 {"near_se", json_number(report.near.standard_error)},
                                 {"near_targets", report.near.targets},
                                 {"new_nll", json_number(report.fresh.mean)},
                                 {"new_se", json_number(report.fresh.standard_error)},
                                 {"new_targets", report.fresh.targets},
                                 {"seconds", result.seconds},
                                 {"tokens_per_s", json_number(tokens / result.seconds)},
                                 {"peak_memory_bytes", result.peak_memory_bytes}};
  for (const auto& bucket : result.by_position) {
    json["nll_by_position"].push_back(
        {{"begin", bucket.begin}, {"end", bucket.end}, {"nll", json_number(bucket.mean())}});
  }
  if (per_segment) {
    json["per_segment"] = nlohmann::ordered_json::array();
    for (const auto& segment : result.segments)
      json["per_segment"].push_back(segment_json(segment));
  }
  return json;
}

/// A line for each part of a segment, from its first to its last token; a column for each length.
std::string position_table(const std::vector<LengthResult>& results) {
  std::ostringstream out;
  out << std::fixed << "NLL by position\n       % \\ length";
  for (const auto& result : results) out << std::setw(10) << result.length;
  const size_t parts = results.front().by_position.size();
  const double percent = 100.0 / static_cast<double>(parts);
  for (size_t i = 0; i < parts; ++i) {
    out << "\n"
        << std::setprecision(1) << std::setw(6) << percent * static_cast<double>(i) << " - "
        << std::setw(6) << percent * static_cast<double>(i + 1);
    for (const auto& result : results) out << cell(result.by_position[i].mean(), 10, 4);
  }
  out << "\n";
  return out.str();
}

}  // namespace

PooledMean pool(const std::vector<SegmentScore>& segments, double SegmentScore::*sum,
                int64_t SegmentScore::*count) {
  PooledMean pooled;
  double total = 0;
  for (const auto& segment : segments) {
    total += segment.*sum;
    pooled.targets += segment.*count;
  }
  const auto targets = static_cast<double>(pooled.targets);
  pooled.mean = total / targets;  // NaN without targets
  // A ratio of two sums over segments: its error comes from the segments' residuals, since targets
  // of one text hang together.
  double residuals = 0;
  for (const auto& segment : segments) {
    const double residual = segment.*sum - pooled.mean * static_cast<double>(segment.*count);
    residuals += residual * residual;
  }
  const auto n = static_cast<double>(segments.size());
  pooled.standard_error = segments.size() > 1 ? std::sqrt(residuals * n / (n - 1)) / targets
                                              : std::numeric_limits<double>::quiet_NaN();
  return pooled;
}

std::string results_table(const std::vector<LengthResult>& results) {
  std::ostringstream out;
  out << "  length segments       nll      +-   far_nll      +-  near_nll   new_nll  tokens/s  "
         "peak GiB\n";
  for (const auto& result : results) {
    const auto report = report_of(result);
    const double rate = static_cast<double>(report.all.targets) / result.seconds;
    const double gibibytes = static_cast<double>(result.peak_memory_bytes) / kGiB;
    out << std::setw(8) << result.length << std::setw(9) << result.segments.size()
        << cell(report.all.mean, 10, 4) << cell(report.all.standard_error, 8, 4)
        << cell(report.far.mean, 10, 4) << cell(report.far.standard_error, 8, 4)
        << cell(report.near.mean, 10, 4) << cell(report.fresh.mean, 10, 4) << cell(rate, 10, 0)
        << cell(gibibytes, 10, 2) << "\n";
  }
  if (!results.empty() && !results.front().by_position.empty()) out << position_table(results);
  return out.str();
}

std::string results_json(const Config& config, const std::vector<LengthResult>& results) {
  nlohmann::ordered_json json;
  json["results"] = nlohmann::ordered_json::array();
  for (const auto& result : results)
    json["results"].push_back(length_json(result, config.eval.per_segment));
  json["model"] = config.model.path;
  json["adapter"] = config.model.adapter;
  json["far"] = config.eval.far;
  json["git_revision"] = std::string(git_revision());
  json["config"] = config_to_yaml(config);
  return json.dump(1) + "\n";
}

}  // namespace lococo
