#include "setup/memory_check.h"

#include <functional>
#include <iomanip>
#include <sstream>

#include "core/units.h"
#include "pass/sequence_pass.h"
#include "tensor/kit/memory_stats.h"

namespace lococo {
namespace {

std::string gib_text(int64_t bytes) {
  std::ostringstream text;
  text << std::fixed << std::setprecision(1) << static_cast<double>(bytes) / kGiB << " GiB";
  return text.str();
}

/// What makes a run smaller, as far as it is not done yet.
struct Remedy {
  const char* text;
  void (*apply)(Config* config);
};
constexpr Remedy kRemedies[] = {
    {"train.micro_batch: 1", [](Config* config) { config->train.micro_batch = 1; }},
    {"train.activation_checkpointing: true",
     [](Config* config) {
       const bool whole = resolved_pass(*config) == PassKind::kFullSequence;
       config->train.activation_checkpointing |= whole;
     }},
    {"train.recompute_attention: true",
     [](Config* config) {
       config->train.recompute_attention |= config->train.activation_checkpointing;
     }},
    {"a smaller train.loss_chunk", [](Config* config) { config->train.loss_chunk = 256; }},
    {"model.dtype: bfloat16", [](Config* config) { config->model.dtype = DType::kBFloat16; }},
    {"model.base_precision: nf4",
     [](Config* config) {
       const bool trains_base = config->tune.all.value_or(0.0) > 0;
       if (!trains_base) config->model.base_precision = BasePrecision::kNf4;
     }},
    {"distributed.shard_optimizer: true",
     [](Config* config) { config->distributed.shard_optimizer = true; }}};

/// Those with which less than 98 % are left of what `bytes_of` says of a config.
std::string what_helps(const Config& config,
                       const std::function<int64_t(const Config&)>& bytes_of) {
  const int64_t now = bytes_of(config);
  std::string text;
  for (const Remedy& remedy : kRemedies) {
    Config other = config;
    remedy.apply(&other);
    if (bytes_of(other) < now - now / 50)
      text += (text.empty() ? "" : ", ") + std::string(remedy.text);
  }
  return text;
}

int64_t bytes_of_weights(const Config& config, const std::vector<RegisteredParameter>& parameters) {
  int64_t bytes = 0;
  for (const auto& parameter : parameters) bytes += bytes_of_weight(config, parameter);
  return bytes;
}

}  // namespace

void check_room_for_weights(const Config& config,
                            const std::vector<RegisteredParameter>& parameters,
                            torch::Device device) {
  const int64_t bytes = bytes_of_weights(config, parameters);
  const int64_t there = total_memory_bytes(device);
  if (there == 0 || bytes <= there) return;
  const auto needed = [&](const Config& other) { return bytes_of_weights(other, parameters); };
  const std::string helps = what_helps(config, needed);
  throw NoRoomForWeights("model: its weights need " + gib_text(bytes) + ", " + device.str() +
                         " has " + gib_text(there) + " of memory; use a smaller model, " +
                         (helps.empty() ? "" : helps + " ") + "or another device");
}

std::string memory_warning(const TrainingLoad& load, int64_t there, const std::string& where) {
  const auto estimate = estimate_memory(load);
  if (there == 0 || estimate.total() <= there) return "";
  std::string text = "the run needs about " + gib_text(estimate.total()) + " and " + where +
                     " has " + gib_text(there) + " of memory; ";
  if (resolved_pass(load.config) == PassKind::kTeach)
    text += "teaching reads whole sequences, and with full attention too; ";
  const int64_t fits = longest_context(load, there);
  if (fits > 0) text += "data.context_length: " + std::to_string(fits) + " fits; ";
  const auto needed = [&](const Config& other) {
    return estimate_memory(load.with(other)).total();
  };
  const std::string helps = what_helps(load.config, needed);
  if (!helps.empty()) return text + "what helps: " + helps;
  return text + (fits > 0 ? "nothing else helps" : "use a smaller model or more devices");
}

}  // namespace lococo
