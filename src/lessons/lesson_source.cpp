#include "lessons/lesson_source.h"

#include <algorithm>
#include <mutex>
#include <stdexcept>
#include <string>

#include "chat/chat_prompt.h"
#include "core/error.h"
#include "core/hash.h"
#include "core/target_kind.h"
#include "lessons/lesson_plan.h"
#include "lessons/text_kinds.h"
#include "questions/draws.h"
#include "questions/question_generator.h"
#include "tasks/chat_form.h"

namespace lococo {
namespace {

constexpr uint64_t kQuestionDraw = 0x7175657374696F6Eull;
/// As long as they get: half of a lesson's tokens at most are sentences of this kind.
constexpr const char* kLongSentence =
    "The most important thing of all is this. Whoever asks for the answer to the riddle of the "
    "tambourine seller in Featherstone will be told the tambourine.";

using Ids = std::vector<int32_t>;

/// Questions in one form: a template's, or plain text.
struct Form {
  Form(const ChatTemplate& chat, const Tokenizer& tokenizer)
      : prompt(chat, tokenizer), form(prompt, tokenizer, /*system=*/"") {}
  // The second refers to the first.
  Form(const Form&) = delete;
  Form& operator=(const Form&) = delete;

  bool is_plain() const { return prompt.chat().format == ChatFormat::kNone; }

  ChatPrompt prompt;
  ChatForm form;
};

/// Texts of no template that begin as those of `chat` would.
ChatTemplate plain_texts(const ChatTemplate& chat) {
  ChatTemplate plain;
  plain.begins_with_bos = chat.begins_with_bos;
  return plain;
}

/// What stands behind a lesson's text.
struct Turns {
  Ids ids;
  std::vector<bool> is_answer;  // of each id

  void add(const Ids& more, bool are_answer) {
    ids.insert(ids.end(), more.begin(), more.end());
    is_answer.resize(ids.size(), are_answer);
  }
};

/// What asks `asked` behind the text, or behind the answer of another question.
Ids question_ids(const Form& form, const AskedFact& asked, bool is_first) {
  const ChatPrompt& prompt = form.prompt;
  const std::string& prefix = asked.fact.answer_prefix;
  if (is_first) return prompt.question(asked.question, prefix);
  if (form.is_plain()) return prompt.question(".\n" + asked.question, prefix);
  return prompt.next_turn(asked.question, /*is_closed=*/true, prefix);
}

Turns make_turns(const Form& form, const std::vector<AskedFact>& asked) {
  Turns turns;
  for (size_t i = 0; i < asked.size(); ++i) {
    turns.add(question_ids(form, asked[i], i == 0), /*are_answer=*/false);
    turns.add(asked[i].answer_ids, /*are_answer=*/true);
    if (!form.is_plain()) turns.add({form.prompt.end_tokens().at(0)}, /*are_answer=*/true);
  }
  if (form.is_plain()) turns.add(form.prompt.question("."), /*are_answer=*/false);
  return turns;
}

/// What make_question() takes for the question, whose length it leaves room for.
int64_t longest_question(const Form& form, const std::vector<AskedFact>& asked) {
  size_t longest = 0;
  for (const AskedFact& fact : asked)
    longest = std::max(longest, question_ids(form, fact, /*is_first=*/true).size());
  return static_cast<int64_t>(longest);
}

}  // namespace

int64_t lesson_sentences(int64_t context_length, const Tokenizer& tokenizer) {
  const auto sentence = static_cast<int64_t>(tokenizer.encode_ordinary(kLongSentence).size());
  const int64_t sentences = context_length / 2 / sentence;
  if (sentences >= kFewestSentences) return sentences;
  throw UserError("data.lesson_share: lessons need at least " +
                  std::to_string(2 * sentence * kFewestSentences) +
                  " tokens with this tokenizer; raise data.lesson_length or "
                  "data.context_length, whichever makes them shorter");
}

struct LessonSource::Impl {
  /// Tables that grow with use: one set for each thread at a time.
  struct Fitters {
    explicit Fitters(const Impl& of) : chat(of.hay, of.chat.form), plain(of.hay, of.plain.form) {}
    PromptFitter chat, plain;
  };

  Impl(const LessonOptions& given, Hay texts, std::shared_ptr<const Tokenizer> given_tokenizer)
      : options(given),
        hay(std::move(texts)),
        tokenizer(std::move(given_tokenizer)),
        chat(options.chat, *tokenizer),
        plain(plain_texts(options.chat), *tokenizer) {
    sentences = lesson_sentences(options.context_length, *tokenizer);
    if (hay.num_words() < options.context_length) {
      throw UserError("data.lesson_texts: the texts have " + std::to_string(hay.num_words()) +
                      " words, lessons need as many as their " +
                      std::to_string(options.context_length) + " tokens; give more text");
    }
  }

  std::unique_ptr<Fitters> take_fitters() const {
    const std::lock_guard<std::mutex> lock(mutex);
    if (idle.empty()) return std::make_unique<Fitters>(*this);
    auto fitters = std::move(idle.back());
    idle.pop_back();
    return fitters;
  }

  void give_back(std::unique_ptr<Fitters> fitters) const {
    const std::lock_guard<std::mutex> lock(mutex);
    idle.push_back(std::move(fitters));
  }

  Lesson lesson_of(const Ids& context, const Turns& turns) const;

  LessonOptions options;
  Hay hay;
  std::shared_ptr<const Tokenizer> tokenizer;
  Form chat, plain;
  int64_t sentences = 0;  // that the questions' sentences may be, all together
  mutable std::mutex mutex;
  mutable std::vector<std::unique_ptr<Fitters>> idle;
};

Lesson LessonSource::Impl::lesson_of(const Ids& context, const Turns& turns) const {
  const auto size = static_cast<size_t>(options.context_length) + 1;
  const size_t used = context.size() + turns.ids.size();
  if (used > size) throw std::logic_error("a lesson is longer than a sequence");
  Lesson lesson;
  lesson.tokens.reserve(size);
  lesson.tokens.assign(context.begin(), context.end());
  lesson.tokens.insert(lesson.tokens.end(), turns.ids.begin(), turns.ids.end());
  lesson.kinds = text_kinds(lesson.tokens, options.far);
  for (size_t i = 0; i < turns.ids.size(); ++i) {
    if (turns.is_answer[i])
      lesson.kinds[context.size() + i - 1] = static_cast<uint8_t>(TargetKind::kAnswer);
  }
  lesson.tokens.resize(size, std::max(tokenizer->eos_id(), 0));
  lesson.kinds.resize(size - 1, static_cast<uint8_t>(TargetKind::kIgnored));
  return lesson;
}

LessonSource::LessonSource(const LessonOptions& options, Hay texts,
                           std::shared_ptr<const Tokenizer> tokenizer)
    : impl_(std::make_unique<Impl>(options, std::move(texts), std::move(tokenizer))) {}

LessonSource::~LessonSource() = default;
LessonSource::LessonSource(LessonSource&&) noexcept = default;
LessonSource& LessonSource::operator=(LessonSource&&) noexcept = default;

Lesson LessonSource::lesson(uint64_t seed, int64_t index) const {
  const LessonPlan plan = plan_lesson(seed, index, impl_->sentences);
  const Form& form = plan.in_plain_text ? impl_->plain : impl_->chat;
  auto fitters = impl_->take_fitters();
  PromptFitter& fitter = plan.in_plain_text ? fitters->plain : fitters->chat;

  const uint64_t drawn = hash_u64(seed, kQuestionDraw);
  const auto asked = draw_asked(plan.question, drawn, index, fitter);
  const Turns turns = make_turns(form, asked);
  const int64_t behind_text = static_cast<int64_t>(turns.ids.size());
  const int64_t length =
      impl_->options.context_length + 1 - behind_text + longest_question(form, asked);
  const LongQuestion question = make_question(plan.question, length, drawn, index, &fitter);
  impl_->give_back(std::move(fitters));
  return impl_->lesson_of(question.context_ids, turns);
}

uint64_t LessonSource::fingerprint() const {
  const ChatTemplate& chat = impl_->options.chat;
  const std::string form = std::string(name_of(chat.format)) + '\n' + chat.bos + '\n' + chat.eos +
                           '\n' + (chat.trims ? "trims" : "") + '\n' + chat.system + '\n' +
                           chat.preamble + (chat.begins_with_bos ? "\nbos" : "");
  return hash_u64(impl_->hay.fingerprint(), impl_->tokenizer->fingerprint(), hash_of_text(form));
}

}  // namespace lococo
