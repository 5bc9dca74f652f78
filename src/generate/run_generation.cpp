#include "generate/run_generation.h"

#include <algorithm>
#include <chrono>
#include <cstdio>

#include "core/error.h"
#include "core/files.h"
#include "core/log.h"
#include "generate/generation.h"
#include "setup/model_setup.h"
#include "setup/session.h"
#include "tensor/kit/memory_stats.h"

namespace lococo {
namespace {

std::string read_prompt(const GenerateConfig& config) {
  if (config.prompt_file.empty()) return config.prompt;
  if (!config.prompt.empty())
    throw UserError("generate.prompt_file: generate.prompt is given too; remove one");
  return read_text_file(config.prompt_file);
}

std::unique_ptr<Tokenizer> required_tokenizer(const Config& config) {
  auto tokenizer = open_tokenizer(config);
  if (!tokenizer)
    throw UserError("data.tokenizer: give the SentencePiece model that the prompt is read with");
  return tokenizer;
}

std::vector<int32_t> prompt_ids(const Config& config, const Tokenizer& tokenizer,
                                int64_t vocab_size) {
  auto ids = tokenizer.encode(read_prompt(config.generate));
  if (config.data.add_bos && tokenizer.bos_id() >= 0) ids.insert(ids.begin(), tokenizer.bos_id());
  if (ids.empty())
    throw UserError("generate.prompt: is empty; give a text to continue, or generate.prompt_file");
  if (*std::max_element(ids.begin(), ids.end()) >= vocab_size) {
    throw UserError("data.tokenizer: has " + std::to_string(tokenizer.vocab_size()) +
                    " tokens, the model " + std::to_string(vocab_size) +
                    "; is it the model's own?");
  }
  return ids;
}

DecoderOptions decoder_options(const Config& config, int64_t prompt_tokens) {
  DecoderOptions options;
  options.decode_buffer = config.generate.decode_buffer;
  options.max_tokens = prompt_tokens + config.generate.max_new_tokens;
  options.cuda_graphs = config.train.cuda_graphs;
  return options;
}

GenerationOptions generation_options(const GenerateConfig& config, const Tokenizer& tokenizer) {
  GenerationOptions options;
  options.sampling = {config.temperature, config.top_p, config.seed};
  options.max_new_tokens = config.max_new_tokens;
  if (config.stop_at_eos) options.end_token = tokenizer.eos_id();
  return options;
}

/// Decoded together with the prompt: by itself the first word would lose the space before it.
std::string text_after(const Tokenizer& tokenizer, std::vector<int32_t> ids,
                       const std::vector<int32_t>& added) {
  const std::string prompt = tokenizer.decode(ids);
  ids.insert(ids.end(), added.begin(), added.end());
  const std::string whole = tokenizer.decode(ids);
  return whole.rfind(prompt, 0) == 0 ? whole.substr(prompt.size()) : tokenizer.decode(added);
}

}  // namespace

std::string generate_text(const Config& given, torch::Device device) {
  Config config = given;
  config.tune = TuneConfig();  // nothing is trained, so that everything has the compute dtype
  const auto tokenizer = required_tokenizer(config);
  const auto ids = prompt_ids(config, *tokenizer, effective_shape(config).vocab_size);
  auto prepared = prepare_model(config, device);
  const auto prompt_tokens = static_cast<int64_t>(ids.size());
  Decoder decoder(prepared.model, decoder_options(config, prompt_tokens));

  const auto options = generation_options(config.generate, *tokenizer);
  const auto tokens_1T = torch::tensor(ids, torch::kInt64).unsqueeze(0).to(device);
  const auto begin = std::chrono::steady_clock::now();
  const auto made = generate(decoder, tokens_1T, options)[0].to(torch::kInt32).cpu().contiguous();
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;

  const int32_t* first = made.const_data_ptr<int32_t>();
  const std::vector<int32_t> added(
      first, std::find(first, first + made.numel(), static_cast<int32_t>(options.end_token)));
  char line[160];
  std::snprintf(line, sizeof(line),
                "%lld tokens after a prompt of %lld in %.2f s, peak memory %.2f GiB",
                static_cast<long long>(added.size()), static_cast<long long>(prompt_tokens),
                seconds.count(), static_cast<double>(peak_memory_bytes(device)) / (1 << 30));
  log_info(line);
  return text_after(*tokenizer, ids, added);
}

int run_generation(const Config& config) {
  auto session = start_session(config);
  if (session.communicator->size() > 1)
    throw UserError("lococo-generate runs as one process; start it without mpirun");
  const std::string text = generate_text(config, session.device) + "\n";
  std::fwrite(text.data(), 1, text.size(), stdout);
  return 0;
}

}  // namespace lococo
