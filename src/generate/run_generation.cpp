#include "generate/run_generation.h"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <optional>

#include "core/error.h"
#include "core/log.h"
#include "generate/generation.h"
#include "generate/prompt.h"
#include "generate/text_stream.h"
#include "report/task_progress.h"
#include "setup/model_setup.h"
#include "setup/session.h"
#include "tensor/kit/memory_stats.h"
#include "weights/cache_options.h"

namespace lococo {
namespace {

using Clock = std::chrono::steady_clock;
using Ids = std::vector<int32_t>;

double seconds_between(Clock::time_point begin, Clock::time_point end) {
  return std::chrono::duration<double>(end - begin).count();
}

/// "model X, adapter Y, cache policy lococo: 512 slots a layer, and 64 more while decoding"
std::string describe(const Config& config, const CacheConfig& cache) {
  std::string text =
      "model " + (config.model.path.empty() ? "with random weights" : config.model.path);
  text += config.model.adapter.empty() ? ", no adapter" : ", adapter " + config.model.adapter;
  text += std::string(", cache policy ") + name_of(cache.policy);
  if (cache.policy == CachePolicyKind::kNone) return text + ": every token stays";
  return text + ": " + std::to_string(cache.slots) + " slots a layer, and " +
         std::to_string(config.generate.decode_buffer) + " more while decoding";
}

DecoderOptions decoder_options(const Config& config, int64_t prompt_tokens) {
  DecoderOptions options;
  options.decode_buffer = config.generate.decode_buffer;
  options.max_tokens = prompt_tokens + config.generate.max_new_tokens;
  options.cuda_graphs = config.train.cuda_graphs;
  return options;
}

/// The tokenizer's, else the model's own; -1 for none.
int64_t end_token(const Config& config, const Tokenizer* tokenizer, const ModelShape& shape) {
  if (!config.generate.stop_at_eos) return -1;
  if (tokenizer != nullptr) return tokenizer->eos_id();
  const bool known = !config.model.path.empty() && !shape.eos_token_ids.empty();
  return known ? shape.eos_token_ids.front() : -1;
}

/// Looks at the device so seldom that it need not wait, and so often that text seems to flow.
int64_t look_every(torch::Device device) { return device.is_cuda() ? 8 : 1; }

GenerationOptions generation_options(const Config& config, const Tokenizer* tokenizer,
                                     const ModelShape& shape, torch::Device device) {
  const auto& generate = config.generate;
  GenerationOptions options;
  options.sampling = {generate.temperature, generate.top_p, generate.seed};
  options.max_new_tokens = generate.max_new_tokens;
  options.end_token = end_token(config, tokenizer, shape);
  options.check_every = look_every(device);
  if (generate.output == GenerateOutput::kText) options.vocab_size = tokenizer->vocab_size();
  return options;
}

/// Takes tokens as they are made and writes them as the config wants them.
class Output {
 public:
  /// A null `tokenizer` means token ids.
  Output(const Tokenizer* tokenizer, const Ids& prompt, int64_t end_token,
         std::function<void(const std::string&)> write)
      : end_token_(static_cast<int32_t>(end_token)), write_(std::move(write)) {
    if (tokenizer != nullptr) text_.emplace(*tokenizer, prompt);
  }

  void take(const torch::Tensor& new_1T) {
    const auto ids_T = new_1T[0].to(torch::kInt32).contiguous();
    const int32_t* begin = ids_T.const_data_ptr<int32_t>();
    const int32_t* end = std::find(begin, begin + ids_T.numel(), end_token_);
    if (ended_) return;
    ended_ = end != begin + ids_T.numel();
    put(text_ ? text_->add({begin, end}) : numbers({begin, end}));
    count_ += end - begin;
  }

  void finish() {
    if (text_) put(text_->finish());
  }

  int64_t count() const { return count_; }

 private:
  std::string numbers(const Ids& ids) const {
    std::string text;
    for (const int32_t id : ids)
      text += (count_ == 0 && text.empty() ? "" : " ") + std::to_string(id);
    return text;
  }

  void put(const std::string& piece) const {
    if (!piece.empty()) write_(piece);
  }

  int32_t end_token_;
  std::function<void(const std::string&)> write_;
  std::optional<TextStream> text_;
  int64_t count_ = 0;
  bool ended_ = false;
};

/// "40 tokens in 2.00 s (20.0 tokens/s) after a prompt of 100 in 0.50 s (200.0 tokens/s); ..."
std::string closing_line(int64_t made, double seconds, int64_t prompt, double prompt_seconds,
                         const Decoder& decoder) {
  const auto part = [](int64_t tokens, double took) {
    char text[64];
    std::snprintf(text, sizeof text, " in %.2f s (", took);
    return text + rate_text(static_cast<double>(tokens) / std::max(took, 1e-9)) + " tokens/s)";
  };
  constexpr double kMebi = 1 << 20, kGibi = 1 << 30;
  char sizes[128];
  std::snprintf(sizes, sizeof sizes,
                "; cache of %lld slots a layer, %.1f MiB; peak memory %.2f GiB",
                static_cast<long long>(decoder.capacity()),
                static_cast<double>(decoder.cache_bytes()) / kMebi,
                static_cast<double>(peak_memory_bytes(decoder.device())) / kGibi);
  return std::to_string(made) + " tokens" + part(made, seconds) + " after a prompt of " +
         std::to_string(prompt) + part(prompt, prompt_seconds) + sizes;
}

void print(const std::string& piece) {
  const bool written = std::fwrite(piece.data(), 1, piece.size(), stdout) == piece.size();
  if (written && std::fflush(stdout) == 0) return;
  throw UserError("standard output: cannot be written (" + std::string(std::strerror(errno)) + ")");
}

}  // namespace

std::string generate_text(const Config& given, torch::Device device,
                          const std::function<void(const std::string&)>& write) {
  Config config = given;
  config.tune = TuneConfig();  // nothing is trained, so that everything has the compute dtype
  const auto shape = effective_shape(config);
  const auto tokenizer = open_tokenizer(config, shape.vocab_size);
  const bool prints_text = config.generate.output == GenerateOutput::kText;
  const auto ids = prompt_tokens(config, tokenizer.get(), shape.vocab_size);
  if (prints_text && !tokenizer) {
    throw UserError(
        "data.tokenizer: a text needs one; generate.output=ids (--ids) prints token "
        "ids: " +
        std::string(kWithoutTokenizer));
  }
  const auto prompt_size = static_cast<int64_t>(ids.size());
  auto prepared = prepare_model(config, device);
  const CacheConfig& cache = prepared.model->cache_config();
  log_info(describe(config, cache));
  warn_beyond_positions(config, prepared.model->shape(),
                        prompt_size + config.generate.max_new_tokens, "prompt and answer");

  Decoder decoder(prepared.model, decoder_options(config, prompt_size));
  auto options = generation_options(config, tokenizer.get(), shape, device);
  Output output(prints_text ? tokenizer.get() : nullptr, ids, options.end_token, write);
  options.on_tokens = [&](const torch::Tensor& new_1T) { output.take(new_1T); };
  TaskProgress progress("reading the prompt", "tokens", prompt_size);
  const auto begin = Clock::now();
  auto prompt_end = begin;
  options.on_block = [&](int64_t done) {
    progress.update(done);
    if (done == prompt_size) progress.end_line();
    prompt_end = Clock::now();
  };
  generate(decoder, torch::tensor(ids, torch::kInt64).unsqueeze(0).to(device), options);
  output.finish();
  return closing_line(output.count(), seconds_between(prompt_end, Clock::now()), prompt_size,
                      seconds_between(begin, prompt_end), decoder);
}

int run_generation(const Config& given) {
  Config config = given;
  config.generate = with_standard_input(given.generate);
  auto session = start_session(config);
  if (session.communicator->size() > 1)
    throw UserError("lococo-generate runs as one process; start it without mpirun");
  const std::string figures = generate_text(config, session.device, print);
  print("\n");
  log_info(figures);
  return 0;
}

}  // namespace lococo
