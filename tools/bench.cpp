// lococo-bench: how fast training, attention, the convolution and the data path are on a machine.
#include <algorithm>
#include <cstdio>
#include <string>
#include <vector>

#include "bench/run_benchmark.h"
#include "core/config_write.h"
#include "tools/cli.h"

namespace {

/// The benchmark's name comes first; what follows is as in every tool.
bool takes_name(int argc, char** argv) { return argc > 1 && argv[1][0] != '-'; }

}  // namespace

int main(int argc, char** argv) {
  const std::string tool = "lococo-bench";
  const std::string description =
      "Measures speed and memory: lococo-bench NAME [config.yaml] [key=value ...], NAME one of\n" +
      lococo::benchmark_list() + "What to measure is in the config's section bench.";
  std::vector<const char*> arguments(argv, argv + argc);
  std::string name;
  if (takes_name(argc, argv)) {
    name = argv[1];
    arguments.erase(arguments.begin() + 1);
    const auto names = lococo::benchmark_names();
    if (std::find(names.begin(), names.end(), name) == names.end()) {
      std::fprintf(stderr, "%s: error: \"%s\" is not a benchmark; --help lists them\n",
                   tool.c_str(), name.c_str());
      return 2;
    }
  }
  return lococo::run_tool(tool, description, static_cast<int>(arguments.size()), arguments.data(),
                          [&](const lococo::CommandLine& line, const lococo::Config& config) {
                            if (!line.dry_run) return lococo::run_benchmark(name, config);
                            std::fputs(lococo::config_to_yaml(config).c_str(), stdout);
                            return 0;
                          });
}
