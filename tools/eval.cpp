// lococo-eval: perplexity against context length under any cache policy.
#include <cstdio>

#include "config/config_write.h"
#include "eval/run_evaluation.h"
#include "setup/complete_config.h"
#include "tools/cli.h"

namespace {

int run(const lococo::CommandLine& line, const lococo::Config& config) {
  if (!line.dry_run) return lococo::run_evaluation(config);
  lococo::check_evaluation(config);
  std::fputs(lococo::config_to_yaml(config).c_str(), stdout);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  return lococo::run_tool(
      {"lococo-eval", "Mean NLL and far-repeat NLL against context length.",
       "  lococo-eval config.yaml eval.lengths=[4096,32768] eval.output=nll.json\n"
       "  lococo-eval config.yaml model.adapter=runs/x/step-00001000 cache.slots=128\n"
       "  lococo-eval runs/x/config.yaml model.adapter=runs/x/step-00001000\n",
       run, lococo::complete_config_for_reading, /*passive_threads=*/true},
      argc, argv);
}
