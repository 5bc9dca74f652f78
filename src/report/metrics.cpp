#include "report/metrics.h"

#include <nlohmann/json.hpp>
#include <optional>
#include <sstream>
#include <vector>

#include "core/error.h"
#include "core/files.h"
#include "core/json_file.h"
#include "core/log.h"
#include "report/append_file.h"

namespace lococo {
namespace {

std::optional<int64_t> step_of(const std::string& line) {
  try {
    const nlohmann::json json = parse_json(line, "");
    if (!json.is_object() || !json.contains("step") || !json["step"].is_number_integer()) {
      return std::nullopt;
    }
    return json["step"].get<int64_t>();
  } catch (const UserError&) {
    return std::nullopt;
  }
}

std::vector<std::string> split_lines(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

// Cuts off the lines of steps after `last_step`, and a last line that a crash left unfinished.
void cut_after(const std::string& path, int64_t last_step) {
  if (!path_exists(path)) return;
  const std::string text = read_text_file(path);
  const std::vector<std::string> lines = split_lines(text);
  std::string kept;
  int64_t cut = 0;
  for (size_t i = 0; i < lines.size(); ++i) {
    const std::optional<int64_t> step = step_of(lines[i]);
    if (!step && i + 1 < lines.size()) {
      throw UserError(path + ":" + std::to_string(i + 1) +
                      ": not a line of metrics; move the file away");
    }
    if (step && *step <= last_step) {
      kept += lines[i] + "\n";
    } else {
      ++cut;
    }
  }
  if (kept == text) return;
  write_text_file(path, kept);
  if (cut > 0) {
    log_info(path + ": cut off " + std::to_string(cut) + " lines of steps after " +
             std::to_string(last_step));
  }
}

}  // namespace

MetricsWriter::MetricsWriter(const std::string& folder, int64_t resumed_step, bool tensorboard)
    : metrics_path_(folder + "/metrics.jsonl"), evaluation_path_(folder + "/evaluation.jsonl") {
  make_directories(folder);
  cut_after(metrics_path_, resumed_step);
  cut_after(evaluation_path_, resumed_step);
  if (tensorboard) events_ = std::make_unique<EventFile>(folder, resumed_step);
}

void MetricsWriter::write(const StepMetrics& metrics) {
  nlohmann::ordered_json line = {{"step", metrics.step},
                                 {"loss", metrics.loss},
                                 {"tokens", metrics.tokens},
                                 {"tokens_per_s", metrics.tokens_per_s},
                                 {"peak_memory_bytes", metrics.peak_memory_bytes},
                                 {"lr", metrics.lr},
                                 {"grad_norm", metrics.grad_norm}};
  for (const auto& [name, count] : metrics.counts) line[name] = count;
  append_to_file(metrics_path_, line.dump() + "\n");
  if (!events_) return;
  std::map<std::string, double> tagged = {
      {"train/loss", metrics.loss},
      {"train/tokens", static_cast<double>(metrics.tokens)},
      {"train/tokens_per_s", metrics.tokens_per_s},
      {"train/peak_memory_bytes", static_cast<double>(metrics.peak_memory_bytes)},
      {"train/lr", metrics.lr},
      {"train/grad_norm", metrics.grad_norm}};
  for (const auto& [name, count] : metrics.counts)
    tagged["train/" + name] = static_cast<double>(count);
  events_->write(metrics.step, tagged);
}

void MetricsWriter::write_evaluation(int64_t step, const std::map<std::string, double>& values) {
  nlohmann::ordered_json line = {{"step", step}};
  std::map<std::string, double> tagged;
  for (const auto& [name, value] : values) {
    line[name] = value;
    tagged["eval/" + name] = value;
  }
  append_to_file(evaluation_path_, line.dump() + "\n");
  if (events_) events_->write(step, tagged);
}

}  // namespace lococo
