// lococo-bench: how fast training, attention, the convolution and the data path are on a machine.
#include <algorithm>
#include <cstdio>
#include <string>
#include <vector>

#include "bench/run_benchmark.h"
#include "config/config_write.h"
#include "setup/complete_config.h"
#include "setup/session.h"
#include "tools/cli.h"

namespace {

/// The benchmark's name comes first; what follows is as in every tool.
bool takes_name(int argc, char** argv) { return argc > 1 && argv[1][0] != '-'; }

lococo::Tool tool_of(const std::string& benchmark) {
  const auto run = [benchmark](const lococo::CommandLine& line, const lococo::Config& config) {
    if (!lococo::runs_on_ranks(benchmark))
      lococo::check_whole_model(config.distributed, "lococo-bench " + benchmark + " runs");
    if (!line.dry_run) return lococo::run_benchmark(benchmark, config);
    lococo::check_benchmark(benchmark, config);
    std::fputs(lococo::config_to_yaml(config).c_str(), stdout);
    return 0;
  };
  lococo::Tool tool = {
      "lococo-bench",
      "Measures speed and memory. NAME is one of\n" + lococo::benchmark_list() +
          "What to measure is in the config's section bench.",
      "  lococo-bench train-step configs/bench_7b.yaml\n"
      "  lococo-bench memory configs/bench_7b.yaml bench.contexts=[4096,32768]\n"
      "  mpirun -np 4 lococo-bench scaling configs/bench_7b.yaml bench.layouts=[4x1,2x2]\n",
      run, lococo::complete_config};
  tool.first = "NAME ";
  return tool;
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<const char*> arguments(argv, argv + argc);
  std::string name;
  if (takes_name(argc, argv)) {
    name = argv[1];
    arguments.erase(arguments.begin() + 1);
    const auto names = lococo::benchmark_names();
    if (std::find(names.begin(), names.end(), name) == names.end()) {
      std::fprintf(stderr, "lococo-bench: error: \"%s\" is not a benchmark; --help lists them\n",
                   name.c_str());
      return 2;
    }
  }
  return lococo::run_tool(tool_of(name), static_cast<int>(arguments.size()), arguments.data());
}
