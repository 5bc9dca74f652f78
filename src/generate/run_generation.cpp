#include "generate/run_generation.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <iostream>
#include <utility>

#include "core/elapsed.h"
#include "core/error.h"
#include "core/log.h"
#include "generate/answer_stream.h"
#include "generate/conversation.h"
#include "generate/generation.h"
#include "generate/generation_setup.h"
#include "generate/prompt.h"
#include "generate/run_chat.h"
#include "report/task_progress.h"
#include "setup/model_positions.h"
#include "setup/model_setup.h"
#include "setup/session.h"
#include "tensor/kit/memory_stats.h"

namespace lococo {
namespace {

/// "40 tokens in 2.00 s (20.0 tokens/s) after a prompt of 100 in 0.50 s (200.0 tokens/s); ..."
std::string closing_line(int64_t made, double seconds, int64_t prompt, double prompt_seconds,
                         const Decoder& decoder) {
  constexpr double kMebi = 1 << 20, kGibi = 1 << 30;
  char sizes[128];
  std::snprintf(sizes, sizeof sizes,
                "; cache of %lld slots a layer, %.1f MiB; peak memory %.2f GiB",
                static_cast<long long>(decoder.capacity()),
                static_cast<double>(decoder.cache_bytes()) / kMebi,
                static_cast<double>(peak_memory_bytes(decoder.device())) / kGibi);
  return std::to_string(made) + " tokens" + speed_text(made, seconds) + " after a prompt of " +
         std::to_string(prompt) + speed_text(prompt, prompt_seconds) + sizes;
}

/// What is continued, and what ends it.
struct Task {
  std::vector<int32_t> prompt;
  std::vector<int64_t> end_tokens;
  std::vector<std::string> stop_texts;
  bool is_question = false;
};

Task make_task(const Config& config, const Tokenizer* tokenizer, const ModelShape& shape) {
  check_single_prompt(config.generate);
  if (!asks_question(config.generate)) {
    return {prompt_tokens(config, tokenizer, shape.vocab_size),
            end_tokens(config, tokenizer, shape), config.generate.stop};
  }
  if (tokenizer == nullptr)
    throw UserError(std::string("data.tokenizer: a question needs one; ") + kWithoutTokenizer);
  const auto form = conversation_form(config, *tokenizer);
  return {question_tokens(config, form), end_tokens(config, tokenizer, shape, form.end_tokens()),
          stop_texts(config.generate, form), /*is_question=*/true};
}

}  // namespace

std::string generate_text(const Config& given, torch::Device device,
                          const std::function<void(const std::string&)>& write) {
  Config config = given;
  config.tune = TuneConfig();  // nothing is trained, so that everything has the compute dtype
  const auto shape = effective_shape(config);
  const auto tokenizer = open_tokenizer(config, shape.vocab_size);
  const bool prints_text = config.generate.output == GenerateOutput::kText;
  const auto task = make_task(config, tokenizer.get(), shape);
  if (!prints_text && !config.generate.stop.empty())
    throw UserError("generate.stop: is looked for in text, and generate.output=ids prints none");
  if (prints_text && !tokenizer) {
    throw UserError(
        "data.tokenizer: a text needs one; generate.output=ids (--ids) prints token "
        "ids: " +
        std::string(kWithoutTokenizer));
  }
  const auto prompt_size = static_cast<int64_t>(task.prompt.size());
  const int64_t all_tokens = prompt_size + config.generate.max_new_tokens;
  AnswerStream answer(prints_text ? tokenizer.get() : nullptr, task.prompt, task.end_tokens,
                      prints_text ? task.stop_texts : std::vector<std::string>(),
                      task.is_question ? without_leading_blanks(write) : write);
  auto prepared = prepare_model(config, device);
  log_info(describe_generation(config, prepared.model->cache_config()));
  warn_beyond_positions(config, prepared.model->shape(), all_tokens, "prompt and answer");

  Decoder decoder(prepared.model, decoder_options(config, all_tokens));
  auto options = generation_options(config, task.end_tokens,
                                    prints_text ? tokenizer->vocab_size() : 0, device);
  options.on_tokens = [&](const torch::Tensor& new_1T) { answer.take(new_1T); };
  options.is_over = [&] { return answer.has_ended(); };
  TaskProgress progress("reading the prompt", "tokens", prompt_size);
  const auto begin = steady_now();
  auto prompt_end = begin;
  options.on_block = [&](int64_t done) {
    progress.update(done);
    if (done == prompt_size) progress.end_line();
    prompt_end = steady_now();
  };
  generate(decoder, torch::tensor(task.prompt, torch::kInt64).unsqueeze(0).to(device), options);
  answer.finish();
  return closing_line(answer.count(), seconds_since(prompt_end), prompt_size,
                      seconds_between(begin, prompt_end), decoder);
}

int run_generation(const Config& given) {
  Config config = given;
  config.generate = with_standard_input(given.generate);
  auto session = start_session(config);
  if (session.communicator->size() > 1)
    throw UserError("lococo-generate runs as one process; start it without mpirun");
  if (config.generate.chat) {
    chat(config, session.device, {std::cin, isatty(STDIN_FILENO) == 1}, print_to_stdout);
    return 0;
  }
  const std::string figures = generate_text(config, session.device, print_to_stdout);
  print_to_stdout("\n");
  log_info(figures);
  return 0;
}

}  // namespace lococo
