#include "eval/task_report.h"

#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "config/config_write.h"
#include "core/build_info.h"
#include "core/units.h"
#include "report/task_progress.h"
#include "weights/cache_options.h"

namespace lococo {
namespace {

std::string line_of(const Cell& cell) {
  const Estimate estimate = cell.estimate();
  const std::string name = cell.task + (cell.kind.empty() ? "" : " " + cell.kind);
  char text[160];
  std::snprintf(text, sizeof text, "%-24s %7lld  %-14s %6lld %7.1f  [%5.1f, %5.1f] %7.1f\n",
                name.c_str(), static_cast<long long>(cell.length), cell.metric.c_str(),
                static_cast<long long>(cell.trials), 100 * estimate.mean, 100 * estimate.low,
                100 * estimate.high, 100 * cell.chance);
  return text;
}

nlohmann::ordered_json cell_json(const Cell& cell) {
  const Estimate estimate = cell.estimate();
  nlohmann::ordered_json json = {{"kind", cell.kind},     {"length", cell.length},
                                 {"depth", cell.depth},   {"metric", cell.metric},
                                 {"trials", cell.trials}, {"correct", cell.sum},
                                 {"mean", estimate.mean}, {"low", estimate.low},
                                 {"high", estimate.high}, {"chance", cell.chance}};
  if (cell.depth == kNoDepth) json["depth"] = nullptr;
  return json;
}

}  // namespace

void TaskResults::add(const TaskSample& sample, const std::vector<Score>& scores) {
  add_scores(sample, scores, &cells);
  ++questions;
  prompt_tokens += sample.num_tokens();
}

std::string task_table(const TaskResults& results) {
  std::string table =
      "task                      length  figure         trials       %   95 % interval  chance\n";
  for (const Cell& cell : over_depths(results.cells)) table += line_of(cell);
  char closing[160];
  const auto tokens = static_cast<double>(results.prompt_tokens);
  std::snprintf(closing, sizeof closing,
                "%lld questions, %s tokens in %.1f s (%s tokens/s); %.2f GiB\n",
                static_cast<long long>(results.questions), rate_text(tokens).c_str(),
                results.seconds, rate_text(tokens / std::max(results.seconds, 1e-9)).c_str(),
                static_cast<double>(results.peak_memory_bytes) / kGiB);
  return table + closing;
}

std::string task_json(const Config& config, const TaskResults& results) {
  nlohmann::ordered_json json;
  json["task"] = results.cells.empty() ? "" : results.cells.front().task;
  json["cells"] = nlohmann::ordered_json::array();
  for (const Cell& cell : results.cells) json["cells"].push_back(cell_json(cell));
  json["questions"] = results.questions;
  json["prompt_tokens"] = results.prompt_tokens;
  json["seconds"] = results.seconds;
  json["peak_memory_bytes"] = results.peak_memory_bytes;
  json["policy"] = policy_name(config.cache);
  json["slots"] = config.cache.slots;
  json["model"] = config.model.path;
  json["adapter"] = config.model.adapter;
  json["git_revision"] = std::string(git_revision());
  json["config"] = config_to_yaml(config);
  return json.dump(1) + "\n";
}

}  // namespace lococo
