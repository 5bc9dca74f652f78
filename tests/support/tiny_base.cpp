#include "tests/support/tiny_base.h"

#include "config/config_write.h"
#include "core/log.h"
#include "setup/model_setup.h"
#include "weights/checkpoint.h"
#include "weights/hf_weights_save.h"

namespace lococo::testing {

std::string write_base(const std::string& dir, const ModelShape& shape) {
  Llama model = tiny_llama(3, {}, shape);
  save_hf_model(model, dir, DType::kFloat32, int64_t{1} << 30);
  return dir;
}

Config config_on(const std::string& base) {
  Config config;
  config.model.path = base;
  config.cache = tiny_cache();
  config.distributed.device = "cpu";
  return config;
}

std::string write_checkpoint(const Config& config, const std::string& output, int64_t step) {
  configure_log(LogLevel::kError, /*is_main_rank=*/true);
  auto prepared = prepare_model(config, torch::kCPU);
  perturb(prepared.model, "lora_B", 0.2, 6);
  perturb(prepared.model, "memory_saver", 0.2, 7);
  CheckpointState state;
  state.step = step;
  state.base_fingerprint = prepared.base_fingerprint;
  state.config_yaml = config_to_yaml(config);
  return save_checkpoint(output, {}, state, prepared.model, *prepared.registry, {});
}

}  // namespace lococo::testing
