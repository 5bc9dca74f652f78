#include "tests/support/checkpointed_run.h"

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "lococo/step_plan.h"
#include "tensor/kit/torch.h"

namespace lococo::testing {

TuneConfig tune_parts() {
  TuneConfig tune;
  tune.conv = 1e-2;
  tune.lora = 1e-2;
  tune.embed = 1e-2;
  tune.norm = 1e-2;
  return tune;
}

TuneConfig tune_everything() {
  TuneConfig tune;
  tune.conv = 1e-2;
  tune.all = 1e-2;
  return tune;
}

CheckpointedRun::CheckpointedRun(const TuneConfig& tune, const CacheConfig& cache,
                                 const std::string& adapter)
    : model(tiny_llama(kBaseSeed, cache)), adapter_path(adapter) {
  if (!adapter.empty()) load_trained(adapter, model, kBaseFingerprint);
  if (adapter.empty() && tune.lora) model->add_lora(2, 6.0, {"q_proj", "v_proj"}, 5);
  registry = std::make_unique<ParameterRegistry>(model, tune, 0.01, torch::kBFloat16);
  optimizer = std::make_unique<AdamW>(registry->trainable(), TrainConfig{});
}

void CheckpointedRun::train_step() {
  const auto tokens = random_tokens(1, 32, 100 + static_cast<uint64_t>(step));
  model->zero_grad(/*set_to_none=*/false);
  std::vector<CacheState> caches = model->empty_caches();
  for (const BlockStep& block : make_step_plan(model->cache_config(), tokens.size(1))) {
    const auto hidden =
        model->forward_block(tokens.slice(1, block.begin, block.end), block, caches);
    const auto logits = at::linear(hidden, model->head_weight().to(hidden.scalar_type()));
    const auto loss = logits.to(torch::kFloat32).log_softmax(-1).select(-1, 7).mean();
    if (loss.requires_grad()) loss.backward();  // convs get none before a compression
  }
  optimizer->step(1.0);
  ++step;
}

std::string CheckpointedRun::save(const std::string& output, int64_t keep_last) {
  CheckpointConfig config;
  config.keep_last = keep_last;
  CheckpointState state;
  state.step = step;
  state.tokens_seen = step * 32;
  state.base_fingerprint = kBaseFingerprint;
  state.adapter_path = adapter_path;
  state.config_yaml = "train:\n  seed: 1\n";
  state.git_revision = "abc";
  state.threads = 2;
  state.world_size = 3;
  return save_checkpoint(output, config, state, model, *registry,
                         state_to_save(optimizer->state()));
}

CheckpointState CheckpointedRun::load(const std::string& dir, const std::string& base) {
  const CheckpointState state = load_checkpoint(
      dir, model, *registry, base, [&](const TensorMap& loaded) { optimizer->load_state(loaded); });
  step = state.step;
  return state;
}

TensorMap CheckpointedRun::everything() {
  TensorMap all = snapshot(model);
  for (const auto& [name, tensor] : optimizer->state()) all["optimizer." + name] = tensor.clone();
  return all;
}

void flip_last_bit(const std::string& path) {
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  file.seekg(-1, std::ios::end);
  const char last = static_cast<char>(file.get());
  file.seekp(-1, std::ios::end);
  file.put(static_cast<char>(last ^ 1));
}

std::vector<std::string> sorted_names_in(const std::string& dir) {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(dir)) {
    names.push_back(entry.path().filename().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace lococo::testing
