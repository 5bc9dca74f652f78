#include "bench/run_benchmark.h"

#include <torch/types.h>

#include <algorithm>
#include <iterator>
#include <optional>

#include "bench/attention.h"
#include "bench/conv.h"
#include "bench/data.h"
#include "bench/device_info.h"
#include "bench/inference.h"
#include "bench/memory.h"
#include "bench/patterns.h"
#include "bench/scaling.h"
#include "bench/train_step.h"
#include "core/error.h"
#include "core/output_file.h"
#include "dist/communicator.h"
#include "setup/check_inputs.h"
#include "setup/session.h"

namespace lococo {
namespace {

struct Benchmark {
  const char* name;
  const char* doc;
  bool loads_model;
  void (*run)(const Config&, torch::Device, Report&);
  /// Of those that several ranks run together, in place of the other.
  void (*run_on_ranks)(const Config&, Session&, Report*) = nullptr;
};

constexpr Benchmark kBenchmarks[] = {
    {"train-step", "forward, backward and optimizer step, beside the hardware limit", true,
     bench_train_step},
    {"patterns", "the same step with every attention pattern, beside full attention", true,
     bench_patterns},
    {"scaling", "the same step divided over GPUs, in each of bench.layouts (under mpirun)", true,
     nullptr, bench_scaling},
    {"prefill", "a prompt in blocks", true, bench_prefill},
    {"decode", "token after token, beside what memory allows", true, bench_decode},
    {"attention", "every backend, forward and backward; column mass", false, bench_attention},
    {"conv", "the convolution over time: the library's and the project's", false, bench_conv},
    {"data", "loader and tokenizer", false, bench_data},
    {"memory", "peak memory of training against context length", true, bench_memory},
};

const Benchmark& benchmark_named(const std::string& name) {
  std::string names;
  for (const Benchmark& benchmark : kBenchmarks) {
    if (name == benchmark.name) return benchmark;
    names += (names.empty() ? "" : ", ") + std::string(benchmark.name);
  }
  throw UserError("\"" + name + "\" is not a benchmark; use one of " + names);
}

void check_outputs(const BenchConfig& bench) {
  check_output_file(bench.output, "bench.output", bench.overwrite);
  check_output_file(bench.trace, "bench.trace", bench.overwrite);
}

void run_alone(const Benchmark& benchmark, const Config& config) {
  const auto device = pick_device(config.distributed, /*local_rank=*/0);
  const int64_t threads = set_threads(config.distributed, /*local_size=*/1);
  Report report(benchmark.name, config, describe_device(device, threads));
  benchmark.run(config, device, report);
}

int run_on_ranks(const Benchmark& benchmark, const Config& config) {
  Session session = start_session(config);
  const auto body = [&] {
    std::optional<Report> report;
    if (session.communicator->is_main()) {
      report.emplace(benchmark.name, config, describe_device(session.device, session.threads));
    }
    benchmark.run_on_ranks(config, session, report ? &*report : nullptr);
    return 0;
  };
  return run_on_all_ranks(session, body, [] { return int64_t{-1}; });
}

}  // namespace

std::vector<std::string> benchmark_names() {
  std::vector<std::string> names;
  for (const Benchmark& benchmark : kBenchmarks) names.emplace_back(benchmark.name);
  return names;
}

std::string benchmark_list() {
  constexpr size_t kColumn = 12;
  std::string text;
  for (const Benchmark& benchmark : kBenchmarks) {
    std::string name = benchmark.name;
    name.resize(kColumn, ' ');
    text += "  " + name + benchmark.doc + "\n";
  }
  return text;
}

bool runs_on_ranks(const std::string& name) {
  return std::any_of(std::begin(kBenchmarks), std::end(kBenchmarks), [&](const Benchmark& one) {
    return name == one.name && one.run_on_ranks != nullptr;
  });
}

void check_benchmark(const std::string& name, const Config& config) {
  const Benchmark& benchmark = benchmark_named(name);
  check_outputs(config.bench);
  const bool has_files = !config.model.path.empty() || !config.model.adapter.empty();
  if (benchmark.loads_model && has_files) check_inputs(config);
}

int run_benchmark(const std::string& name, const Config& config) {
  const Benchmark& benchmark = benchmark_named(name);
  check_outputs(config.bench);
  if (benchmark.run_on_ranks != nullptr) return run_on_ranks(benchmark, config);
  run_alone(benchmark, config);
  return 0;
}

}  // namespace lococo
