#include "generate/run_chat.h"

#include <algorithm>
#include <cstdio>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "core/error.h"
#include "core/log.h"
#include "dist/activity.h"
#include "generate/chat_session.h"
#include "generate/conversation.h"
#include "generate/generation_setup.h"
#include "generate/interrupt.h"
#include "generate/prompt.h"
#include "generate/stop_texts.h"
#include "report/task_progress.h"
#include "setup/model_positions.h"
#include "setup/model_setup.h"
#include "setup/same_run.h"
#include "setup/session.h"
#include "tokenizer/utf8_text.h"

namespace lococo {
namespace {

using Write = std::function<void(const std::string&)>;

void check_form(const Config& config, const Tokenizer* tokenizer) {
  check_single_prompt(config.generate);
  check_stop_texts(config.generate.stop);
  if (config.generate.output == GenerateOutput::kIds)
    throw UserError("generate.output: ids are no conversation; remove it, or generate.chat");
  if (config.generate.document == "-") {
    throw UserError(
        "generate.document: - is standard input, where the conversation comes from; give a file");
  }
  if (tokenizer == nullptr) {
    throw UserError("data.tokenizer: a conversation needs one, nor has model.path any; " +
                    std::string(kWithoutTokenizer));
  }
}

/// Tokens that caches without a policy have room for, as a conversation has no end of its own: as
/// many as the base has positions, and behind a document that fills them some for questions.
std::optional<int64_t> room(const Config& config, const ModelShape& shape, int64_t document) {
  constexpr int64_t kForQuestions = 4096;
  if (config.cache.compresses()) return std::nullopt;
  const int64_t positions = shape.max_position_embeddings;
  return document == 0 ? positions : std::max(positions, document + kForQuestions);
}

/// "40 tokens in 2.00 s (20.0 tokens/s) after 12 new ones in 0.10 s (120.0 tokens/s); cache: 400 of
/// 577 slots a layer, 12345 tokens so far"
std::string answer_line(const ChatAnswer& answer, const ChatSession& session,
                        const Decoder& decoder) {
  return std::to_string(answer.made) + " tokens" + speed_text(answer.made, answer.made_seconds) +
         " after " + std::to_string(answer.read) + " new ones" +
         speed_text(answer.read, answer.read_seconds) + (answer.cut ? "; cut" : "") +
         "; cache: " + std::to_string(session.slots()) + " of " +
         std::to_string(decoder.capacity()) + " slots a layer, " +
         std::to_string(session.position()) + " tokens so far";
}

/// The next turn; nullopt at the end.
std::optional<std::string> read_line(const ChatInput& input) {
  if (input.interactive) std::fputs("> ", stderr);
  const InputWait wait;
  std::string line;
  if (!std::getline(input.lines, line)) {
    if (input.interactive) std::fputs("\n", stderr);
    return std::nullopt;
  }
  if (line.ends_with('\r')) line.pop_back();
  return line;
}

/// The same on all stages.
std::optional<std::string> next_line(const ChatInput& input, Communicator& stages) {
  if (stages.size() == 1) return read_line(input);
  const auto line = stages.is_main() ? read_line(input) : std::nullopt;
  // The end is an empty text, a turn its text behind a character more.
  const std::string told = stages.broadcast_text(line ? "+" + *line : "", /*root=*/0);
  return told.empty() ? std::nullopt : std::optional(told.substr(1));
}

/// Asks one turn after another.
class Talk {
 public:
  Talk(ChatSession& session, const Decoder& decoder, const Config& config, const ModelShape& shape,
       const ChatInput& input, const Write& write, Communicator& stages)
      : session_(session),
        decoder_(decoder),
        config_(config),
        shape_(shape),
        input_(input),
        write_(write),
        stages_(stages) {
    warned_ = is_beyond_positions();  // of the document, before it was read
  }

  void run() {
    if (!config_.generate.question.empty()) turn(config_.generate.question);
    while (const auto line = next_line(input_, stages_)) {
      ++lines_;
      if (*line == "/exit") break;
      if (*line == "/reset") {
        session_.reset();
        log_info("the conversation begins anew");
      } else if (!line->empty()) {
        turn(*line);
      }
    }
    if (refusals_.empty()) return;
    const size_t more = refusals_.size() - 1;
    throw UserError(
        refusals_.front() +
        (more > 0 ? " (and " + std::to_string(more) + " more turns had no answer)" : ""));
  }

 private:
  void turn(const std::string& user) {
    try {
      check_utf8(user, "a turn of the conversation");
      session_.check_room_for(user);
    } catch (const UserError& error) {
      if (input_.interactive) return log_error(error.what());
      const auto place = lines_ == 0 ? "generate.question" : "line " + std::to_string(lines_);
      refusals_.push_back(place + ": " + error.what());
      return;
    }
    answer(user);
  }

  bool is_beyond_positions() const {
    const auto known = known_positions(config_, shape_);
    return known && session_.position() > *known;
  }

  void answer(const std::string& user) {
    std::optional<InterruptGuard> guard;
    if (input_.interactive) guard.emplace();
    const auto done = session_.ask(user, write_, [&] { return guard && guard->interrupted(); });
    write_("\n");
    log_info(answer_line(done, session_, decoder_));
    if (warned_ || !is_beyond_positions()) return;
    warn_beyond_positions(config_, shape_, session_.position(), "the conversation");
    warned_ = true;
  }

  ChatSession& session_;
  const Decoder& decoder_;
  const Config& config_;
  const ModelShape& shape_;
  const ChatInput& input_;
  const Write& write_;
  Communicator& stages_;
  bool warned_ = false;                ///< of positions that the base does not have
  int64_t lines_ = 0;                  ///< of the input
  std::vector<std::string> refusals_;  ///< of turns in a pipe, whose other turns have answers
};

}  // namespace

void check_chat(const Config& config, const Tokenizer* tokenizer) {
  check_form(config, tokenizer);
  conversation_form(config, *tokenizer);
  if (!config.generate.document.empty()) document_text(config.generate);
}

void chat(const Config& given, torch::Device device, const ChatInput& input, const Write& write,
          Pipeline* pipeline) {
  Config config = given;
  config.tune = TuneConfig();  // nothing is trained, so that everything has the compute dtype
  const auto shape = effective_shape(config);
  const auto& generate = config.generate;
  const auto alone = make_single_communicator();
  Communicator& stages = pipeline == nullptr ? *alone : pipeline->stages();
  std::unique_ptr<Tokenizer> tokenizer;
  std::optional<ChatPrompt> form;
  std::vector<int32_t> document;
  run_alike(stages, [&] {
    tokenizer = open_tokenizer(config, shape.vocab_size);
    check_form(config, tokenizer.get());
    form.emplace(conversation_form(config, *tokenizer));
    if (generate.document.empty()) return;
    document = ids_of_rank_0(
        stages, [&] { return form->context(generate.system, document_text(generate)); });
  });
  const auto document_size = static_cast<int64_t>(document.size());
  ChatOptions options;
  options.generation =
      generation_options(config, end_tokens(config, tokenizer.get(), shape, form->end_tokens()),
                         tokenizer->vocab_size(), device);
  options.stop_texts = stop_texts(generate, *form);
  options.system = generate.system;
  options.max_tokens = room(config, shape, document_size);
  warn_beyond_positions(config, shape, document_size, "generate.document");

  auto prepared = load_model(config, stages, device, part_of(pipeline));
  check_same_files(prepared.base_fingerprint, "model.path", {}, stages);
  log_info(describe_generation(config, prepared.model->cache_config()));
  Decoder decoder(prepared.model,
                  decoder_options(config, options.max_tokens.value_or(0), document_size),
                  make_stage_line(pipeline));
  ChatSession session(decoder, *form, *tokenizer, std::move(options));
  if (!document.empty()) {
    TaskProgress progress("reading the document", "tokens", document_size, stages.is_main());
    session.read_document(document, [&](int64_t done) { progress.update(done); });
  }
  run_alike(stages, [&] { Talk(session, decoder, config, shape, input, write, stages).run(); });
}

}  // namespace lococo
