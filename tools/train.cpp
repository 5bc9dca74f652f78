// lococo-train: tunes what the config names, on one GPU or, under mpirun, on many.
#include <cstdio>

#include "config/config_write.h"
#include "eval/run_evaluation.h"
#include "setup/check_inputs.h"
#include "setup/complete_config.h"
#include "setup/describe_run.h"
#include "setup/training_sources.h"
#include "tools/cli.h"
#include "train/run_training.h"
#include "train/trainer.h"
#include "train/training_check.h"

namespace {

int run(const lococo::CommandLine& line, const lococo::Config& config) {
  if (!line.dry_run) return lococo::run_training(config);
  std::printf("%s%s\n", lococo::config_to_yaml(config).c_str(),
              lococo::describe_run(config).c_str());
  lococo::check_training(config);
  lococo::warn_about_untrained_answers(config);
  lococo::check_inputs(config);
  lococo::check_training_sources(config);
  if (config.eval.every > 0 && !config.data.validation.empty())
    lococo::check_evaluated_lengths(config);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  return lococo::run_tool(
      {"lococo-train", "Tunes a LLaMA-family model for long contexts at constant memory.",
       "  lococo-train config.yaml train.output=runs/x --dry-run\n"
       "  lococo-train config.yaml train.output=runs/x train.steps=2000\n"
       "  mpirun -np 4 lococo-train config.yaml train.output=runs/x\n",
       run, lococo::complete_config, /*passive_threads=*/true},
      argc, argv);
}
