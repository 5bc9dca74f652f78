// lococo-eval: perplexity against context length under any cache policy.
#include <cstdio>

#include "core/config_write.h"
#include "eval/run_evaluation.h"
#include "tools/cli.h"

int main(int argc, char** argv) {
  return lococo::run_tool("lococo-eval", "Mean NLL and far-repeat NLL against context length.",
                          argc, argv,
                          [](const lococo::CommandLine& line, const lococo::Config& config) {
                            if (!line.dry_run) return lococo::run_evaluation(config);
                            std::fputs(lococo::config_to_yaml(config).c_str(), stdout);
                            return 0;
                          });
}
