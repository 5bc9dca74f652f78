#include "bench/report.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "config/config_write.h"
#include "core/build_info.h"
#include "core/files.h"
#include "core/formatted.h"
#include "report/json_number.h"

namespace lococo {
namespace {

using Json = nlohmann::ordered_json;

constexpr size_t kMostKernels = 30;

/// Four digits that matter, whole numbers in full.
std::string number_text(double value) {
  const double size = std::abs(value);
  if (size >= 1000) return formatted("%.0f", value);
  return formatted(size >= 100   ? "%.1f"
                   : size >= 10  ? "%.2f"
                   : size >= 0.1 ? "%.3f"
                                 : "%.5f",
                   value);
}

/// JSON has no infinity: what could not be measured is null.
Json spread_json(const Figure& figure) {
  const Spread& spread = figure.spread;
  Json json = {{"unit", figure.unit}, {"value", json_number(spread.median)}};
  if (spread.samples == 1) return json;
  json["min"] = json_number(spread.least);
  json["max"] = json_number(spread.most);
  json["lower_quartile"] = json_number(spread.lower_quartile);
  json["upper_quartile"] = json_number(spread.upper_quartile);
  json["samples"] = spread.samples;
  return json;
}

Json case_json(const BenchCase& measured) {
  Json json = Json::object();
  for (const auto& [name, value] : measured.parameters) json[name] = value;
  json["figures"] = Json::object();
  for (const Figure& figure : measured.figures) json["figures"][figure.name] = spread_json(figure);
  if (!measured.failure.empty()) json["failure"] = measured.failure;
  return json;
}

Json trace_json(const TraceSummary& trace) {
  Json json = {{"what", trace.what},
               {"path", trace.path},
               {"on_gpu", trace.on_gpu},
               {"wall_s", json_number(trace.wall_seconds)},
               {"busy_s", json_number(trace.busy_seconds)},
               {"kernels", Json::array()}};
  for (const KernelTime& kernel : trace.kernels) {
    json["kernels"].push_back(
        {{"name", kernel.name}, {"calls", kernel.calls}, {"seconds", json_number(kernel.seconds)}});
  }
  return json;
}

}  // namespace

Spread scaled(const Spread& spread, double factor) {
  return {spread.median * factor,         spread.least * factor,          spread.most * factor,
          spread.lower_quartile * factor, spread.upper_quartile * factor, spread.samples};
}

void BenchCase::add(const std::string& name, const std::string& unit, double value) {
  figures.push_back({name, unit, {value, value, value, value, value, 1}});
}

void BenchCase::add(const std::string& name, const std::string& unit, const Spread& spread) {
  figures.push_back({name, unit, spread});
}

std::string case_text(const BenchCase& measured) {
  std::string text;
  for (const auto& [name, value] : measured.parameters)
    text += (text.empty() ? "" : ", ") + name + " " + std::to_string(value);
  text += "\n";
  for (const Figure& figure : measured.figures) {
    const Spread& spread = figure.spread;
    text += formatted("  %-56s %10s %-10s", figure.name.c_str(), number_text(spread.median).c_str(),
                      figure.unit.c_str());
    if (spread.samples > 1) {
      text += formatted(
          " min %s  max %s  quartiles %s %s  (%lld)", number_text(spread.least).c_str(),
          number_text(spread.most).c_str(), number_text(spread.lower_quartile).c_str(),
          number_text(spread.upper_quartile).c_str(), static_cast<long long>(spread.samples));
    }
    text.erase(text.find_last_not_of(' ') + 1);
    text += "\n";
  }
  if (!measured.failure.empty()) text += "  " + measured.failure + "\n";
  return text;
}

std::string trace_text(const TraceSummary& trace) {
  constexpr size_t kLongestName = 110;
  std::string text = "trace of " + trace.what + ": " + trace.path + "\n" +
                     formatted("  wall %.2f ms, %s %.2f ms (%.1f %%)\n", trace.wall_seconds * 1e3,
                               trace.on_gpu ? "GPU busy" : "operators", trace.busy_seconds * 1e3,
                               100 * trace.busy_seconds / trace.wall_seconds) +
                     "    total ms      %   calls   mean us  kernel\n";
  const size_t rows = std::min(kMostKernels, trace.kernels.size());
  for (size_t i = 0; i < rows; ++i) {
    const KernelTime& kernel = trace.kernels[i];
    const auto calls = static_cast<double>(kernel.calls);
    text += formatted("  %10.3f %6.2f %7lld %9.2f  ", kernel.seconds * 1e3,
                      100 * kernel.seconds / trace.busy_seconds,
                      static_cast<long long>(kernel.calls), kernel.seconds * 1e6 / calls) +
            kernel.name.substr(0, kLongestName) + "\n";
  }
  return text;
}

Report::Report(std::string benchmark, const Config& config, DeviceInfo device)
    : benchmark_(std::move(benchmark)), config_(config), device_(std::move(device)) {
  std::printf("lococo-bench %s on %s, %s\n", benchmark_.c_str(), device_.name.c_str(),
              build_description().c_str());
  std::fflush(stdout);
}

void Report::add(const BenchCase& measured) {
  cases_.push_back(measured);
  std::fputs(case_text(measured).c_str(), stdout);
  std::fflush(stdout);
  write();
}

void Report::add(const TraceSummary& trace) {
  traces_.push_back(trace);
  std::fputs(trace_text(trace).c_str(), stdout);
  std::fflush(stdout);
  write();
}

std::string Report::json() const {
  Json json = {{"benchmark", benchmark_}, {"git_revision", std::string(git_revision())},
               {"device", device_.name},  {"threads", device_.threads},
               {"torch", device_.torch},  {"cuda", device_.cuda},
               {"cudnn", device_.cudnn},  {"cases", Json::array()}};
  for (const BenchCase& measured : cases_) json["cases"].push_back(case_json(measured));
  if (!traces_.empty()) json["traces"] = Json::array();
  for (const TraceSummary& trace : traces_) json["traces"].push_back(trace_json(trace));
  json["config"] = config_to_yaml(config_);
  return json.dump(1, ' ', false, Json::error_handler_t::replace) + "\n";
}

void Report::write() const {
  if (!config_.bench.output.empty()) write_text_file(config_.bench.output, json());
}

}  // namespace lococo
