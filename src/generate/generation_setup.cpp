#include "generate/generation_setup.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <utility>

#include "core/error.h"
#include "report/task_progress.h"
#include "weights/cache_options.h"

namespace lococo {

std::string describe_generation(const Config& config, const CacheConfig& cache) {
  std::string text =
      "model " + (config.model.path.empty() ? "with random weights" : config.model.path);
  text += config.model.adapter.empty() ? ", no adapter" : ", adapter " + config.model.adapter;
  text += ", cache policy " + policy_name(cache);
  if (!cache.compresses()) return text + ": every token stays";
  return text + ": " + std::to_string(cache.slots) + " slots a layer, and " +
         std::to_string(config.generate.decode_buffer) + " more while decoding";
}

DecoderOptions decoder_options(const Config& config, int64_t max_tokens, int64_t prompt) {
  constexpr int64_t kOfAnswer = 4096;
  DecoderOptions options;
  options.decode_buffer = config.generate.decode_buffer;
  options.max_tokens = max_tokens;
  options.first_tokens = prompt + kOfAnswer;
  options.cuda_graphs = config.train.cuda_graphs;
  return options;
}

std::vector<int64_t> end_tokens(const Config& config, const Tokenizer* tokenizer,
                                const ModelShape& shape, const std::vector<int32_t>& own) {
  if (!config.generate.stop_at_eos) return {};
  std::vector<int64_t> tokens(own.begin(), own.end());
  if (tokenizer != nullptr && tokenizer->eos_id() >= 0) tokens.push_back(tokenizer->eos_id());
  if (!config.model.path.empty())
    tokens.insert(tokens.end(), shape.eos_token_ids.begin(), shape.eos_token_ids.end());
  std::vector<int64_t> once;  // in their order: the first fills rows that have ended
  for (const int64_t token : tokens) {
    if (std::find(once.begin(), once.end(), token) == once.end()) once.push_back(token);
  }
  return once;
}

GenerationOptions generation_options(const Config& config, std::vector<int64_t> end_tokens,
                                     int64_t vocab_size, torch::Device device) {
  const auto& generate = config.generate;
  GenerationOptions options;
  options.sampling = {generate.temperature, generate.top_k, generate.top_p, generate.seed,
                      generate.repetition_penalty};
  options.max_new_tokens = generate.max_new_tokens;
  options.end_tokens = std::move(end_tokens);
  options.vocab_size = vocab_size;
  // So seldom that a GPU need not wait, and so often that text seems to flow.
  options.check_every = device.is_cuda() ? 8 : 1;
  return options;
}

std::string speed_text(int64_t tokens, double seconds) {
  char text[64];
  std::snprintf(text, sizeof text, " in %.2f s (", seconds);
  return text + rate_text(static_cast<double>(tokens) / std::max(seconds, 1e-9)) + " tokens/s)";
}

void print_to_stdout(const std::string& piece) {
  const bool written = std::fwrite(piece.data(), 1, piece.size(), stdout) == piece.size();
  if (written && std::fflush(stdout) == 0) return;
  throw UserError("standard output: cannot be written (" + std::string(std::strerror(errno)) + ")");
}

}  // namespace lococo
