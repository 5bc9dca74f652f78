#include "generate/run_generation.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <iostream>
#include <memory>
#include <utility>

#include "core/elapsed.h"
#include "core/error.h"
#include "core/log.h"
#include "core/units.h"
#include "generate/answer_stream.h"
#include "generate/conversation.h"
#include "generate/generation.h"
#include "generate/generation_setup.h"
#include "generate/prompt.h"
#include "generate/run_chat.h"
#include "generate/stop_texts.h"
#include "report/task_progress.h"
#include "setup/model_positions.h"
#include "setup/model_setup.h"
#include "setup/same_run.h"
#include "setup/session.h"
#include "tensor/kit/memory_stats.h"

namespace lococo {
namespace {

/// "40 tokens in 2.00 s (20.0 tokens/s) after a prompt of 100 in 0.50 s (200.0 tokens/s); ..."
std::string closing_line(int64_t made, double seconds, int64_t prompt, double prompt_seconds,
                         const Decoder& decoder, Communicator& stages) {
  const int64_t cache_bytes = stages.all_reduce_sum_int(decoder.cache_bytes());
  const int64_t peak = stages.all_reduce_max_int(peak_memory_bytes(decoder.device()));
  char sizes[128];
  std::snprintf(sizes, sizeof sizes,
                "; cache of %lld slots a layer, %.1f MiB; peak memory %.2f GiB",
                static_cast<long long>(decoder.capacity()), static_cast<double>(cache_bytes) / kMiB,
                static_cast<double>(peak) / kGiB);
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

Task make_task(const Config& config, const Tokenizer* tokenizer, const ModelShape& shape,
               Communicator& stages) {
  check_single_prompt(config.generate);
  if (!asks_question(config.generate)) {
    const auto prompt = [&] { return prompt_tokens(config, tokenizer, shape.vocab_size); };
    return {ids_of_rank_0(stages, prompt), end_tokens(config, tokenizer, shape),
            config.generate.stop};
  }
  if (tokenizer == nullptr)
    throw UserError(std::string("data.tokenizer: a question needs one; ") + kWithoutTokenizer);
  const auto form = conversation_form(config, *tokenizer);
  const auto prompt = [&] { return question_tokens(config, form); };
  return {ids_of_rank_0(stages, prompt), end_tokens(config, tokenizer, shape, form.end_tokens()),
          stop_texts(config.generate, form), /*is_question=*/true};
}

void check_output(const Config& config, bool has_tokenizer) {
  const bool prints_text = config.generate.output == GenerateOutput::kText;
  check_stop_texts(config.generate.stop);
  if (!prints_text && !config.generate.stop.empty())
    throw UserError("generate.stop: is looked for in text, and generate.output=ids prints none");
  if (prints_text && !has_tokenizer) {
    throw UserError(
        "data.tokenizer: a text needs one; generate.output=ids (--ids) prints token "
        "ids: " +
        std::string(kWithoutTokenizer));
  }
}

}  // namespace

std::string generate_text(const Config& given, torch::Device device,
                          const std::function<void(const std::string&)>& write,
                          Pipeline* pipeline) {
  Config config = given;
  config.tune = TuneConfig();  // nothing is trained, so that everything has the compute dtype
  const auto shape = effective_shape(config);
  const auto alone = make_single_communicator();
  Communicator& stages = pipeline == nullptr ? *alone : pipeline->stages();
  std::unique_ptr<Tokenizer> tokenizer;
  Task task;
  run_alike(stages, [&] {
    tokenizer = open_tokenizer(config, shape.vocab_size);
    task = make_task(config, tokenizer.get(), shape, stages);
    check_output(config, tokenizer != nullptr);
  });
  const bool prints_text = config.generate.output == GenerateOutput::kText;
  const auto prompt_size = static_cast<int64_t>(task.prompt.size());
  const int64_t all_tokens = prompt_size + config.generate.max_new_tokens;
  AnswerStream answer(prints_text ? tokenizer.get() : nullptr, task.prompt, task.end_tokens,
                      prints_text ? task.stop_texts : std::vector<std::string>(),
                      task.is_question ? without_leading_blanks(write) : write);
  auto prepared = load_model(config, stages, device, part_of(pipeline));
  check_same_files(prepared.base_fingerprint, "model.path", {}, stages);
  log_info(describe_generation(config, prepared.model->cache_config()));
  warn_beyond_positions(config, prepared.model->shape(), all_tokens, "prompt and answer");

  Decoder decoder(prepared.model, decoder_options(config, all_tokens, prompt_size),
                  make_stage_line(pipeline));
  auto options = generation_options(config, task.end_tokens,
                                    prints_text ? tokenizer->vocab_size() : 0, device);
  options.on_tokens = [&](const torch::Tensor& new_1T) { answer.take(new_1T); };
  options.is_over = [&] { return answer.has_ended(); };
  TaskProgress progress("reading the prompt", "tokens", prompt_size, stages.is_main());
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
                      seconds_between(begin, prompt_end), decoder, stages);
}

void check_generation(const Config& given) {
  Config config = given;
  config.generate = with_standard_input(given.generate);
  const auto shape = effective_shape(config);
  const auto tokenizer = open_tokenizer(config, shape.vocab_size);
  if (config.generate.chat) return check_chat(config, tokenizer.get());
  check_single_prompt(config.generate);
  config.generate = without_standard_input(config.generate);
  make_task(config, tokenizer.get(), shape, *make_single_communicator());
  check_output(config, tokenizer != nullptr);
}

int run_generation(const Config& given) {
  Config config = given;
  config.tune = TuneConfig();
  config.generate = with_standard_input(given.generate);
  auto session = start_session(given);
  Communicator& world = *session.communicator;
  const auto generate = [&] {
    check_same_config(given, world);
    join_pipeline(config, &session);
    run_alike(world, [&] { check_undivided(session, "lococo-generate runs"); });
    Pipeline* const pipeline = session.pipeline.get();
    std::function<void(const std::string&)> write = print_to_stdout;
    if (!world.is_main()) write = [](const std::string&) {};
    if (config.generate.chat) {
      const bool interactive = world.size() == 1 && isatty(STDIN_FILENO) == 1;
      chat(config, session.device, {std::cin, interactive}, write, pipeline);
      return 0;
    }
    const std::string figures = generate_text(config, session.device, write, pipeline);
    write("\n");
    log_info(figures);
    return 0;
  };
  return run_on_all_ranks(session, generate, [] { return int64_t{-1}; });
}

}  // namespace lococo
