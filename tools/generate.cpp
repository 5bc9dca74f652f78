// lococo-generate: continues a text at constant memory under any cache policy.
#include <cstdio>

#include "core/config_write.h"
#include "generate/run_generation.h"
#include "tools/cli.h"

namespace {

int run(const lococo::CommandLine& line, const lococo::Config& config) {
  if (!line.dry_run) return lococo::run_generation(config);
  std::fputs(lococo::config_to_yaml(config).c_str(), stdout);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  return lococo::run_tool(
      {"lococo-generate", "Continues a text, with a cache that does not grow.",
       "  lococo-generate config.yaml generate.prompt=\"Once upon a time\"\n", run},
      argc, argv);
}
