// lococo-export: writes what was tuned for other programs, or for another run.
#include "weights/export.h"

#include <cstdio>
#include <vector>

#include "config/config_write.h"
#include "core/log.h"
#include "setup/check_inputs.h"
#include "setup/companion_files.h"
#include "setup/complete_config.h"
#include "setup/model_positions.h"
#include "setup/model_setup.h"
#include "setup/session.h"
#include "tools/cli.h"

namespace {

std::vector<lococo::CompanionFile> companions_of(const lococo::Config& config) {
  return lococo::read_companion_files(config, lococo::effective_shape(config).vocab_size);
}

int run_export(const lococo::Config& given) {
  lococo::check_export_output(given.export_);
  lococo::check_export_kind(given.export_, given.cache, given.model.adapter);
  const auto companions = companions_of(given);  // before a large model is loaded
  lococo::Config config = given;
  // So that weights are not rounded on the way: LoRA is merged into those of model.path itself.
  config.model.dtype = lococo::DType::kFloat32;
  config.model.base_precision = lococo::BasePrecision::kAuto;
  config.tune = lococo::TuneConfig();  // only what the adapter holds is written
  lococo::PreparedModel prepared = lococo::prepare_model(config, torch::kCPU);
  lococo::export_model(
      config.export_,
      {config.model.path, prepared.base_fingerprint, config.model.adapter, companions},
      prepared.model);
  lococo::log_info("wrote " + config.export_.output);
  return 0;
}

int run(const lococo::CommandLine& line, const lococo::Config& config) {
  lococo::check_whole_model(config.distributed, "lococo-export runs");
  if (!line.dry_run) return run_export(config);
  lococo::check_export_output(config.export_);
  lococo::check_inputs(config);
  lococo::check_export_kind(config.export_, config.cache, config.model.adapter);
  companions_of(config);
  std::fputs(lococo::config_to_yaml(config).c_str(), stdout);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  return lococo::run_tool(
      {"lococo-export",
       "Writes conv weights, a PEFT adapter or a merged Hugging Face model (model.path,\n"
       "model.adapter, export.kind, export.output).",
       "  lococo-export config.yaml model.adapter=runs/x/step-00001000 export.output=out\n"
       "  lococo-export config.yaml model.adapter=runs/x/step-00001000 export.kind=adapter "
       "export.output=out\n",
       run, lococo::complete_config_for_reading},
      argc, argv);
}
