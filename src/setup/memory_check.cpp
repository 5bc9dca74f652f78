#include "setup/memory_check.h"

#include <iomanip>
#include <sstream>

#include "pass/sequence_pass.h"
#include "tensor/kit/memory_stats.h"

namespace lococo {
namespace {

constexpr double kGiB = 1024.0 * 1024.0 * 1024.0;

std::string gib_text(int64_t bytes) {
  std::ostringstream text;
  text << std::fixed << std::setprecision(1) << static_cast<double>(bytes) / kGiB << " GiB";
  return text.str();
}

}  // namespace

void check_room_for_weights(const Config& config,
                            const std::vector<RegisteredParameter>& parameters,
                            torch::Device device) {
  int64_t bytes = 0;
  for (const auto& parameter : parameters) bytes += bytes_of_weight(config, parameter);
  const int64_t there = total_memory_bytes(device);
  if (there == 0 || bytes <= there) return;
  throw NoRoomForWeights(
      "model: its weights need " + gib_text(bytes) + ", " + device.str() + " has " +
      gib_text(there) +
      " of memory; use a smaller model, model.dtype: bfloat16, model.base_precision: nf4 "
      "or another device");
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
  return text +
         "reduce train.micro_batch, data.context_length or train.loss_chunk, or use model.dtype: "
         "bfloat16 or model.base_precision: nf4";
}

}  // namespace lococo
