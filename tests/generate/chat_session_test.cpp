// A conversation in the caches, against reading everything anew at each turn.
#include "generate/chat_session.h"

#include "chat/blanks.h"
#include "generate/answer_stream.h"
#include "tensor/kit/torch.h"
#include "tests/support/byte_tokenizer.h"
#include "tests/support/catch.h"
#include "tests/support/policies.h"
#include "tests/support/tiny_llama.h"
#include "tests/support/user_error.h"

using namespace lococo;
using namespace lococo::testing;

namespace {

using Ids = std::vector<int32_t>;

const ByteTokenizer& tokenizer() {
  static const ByteTokenizer bytes({"<s>", "</s>", "<|im_start|>", "<|im_end|>"});
  return bytes;
}

ModelShape byte_shape() {
  auto shape = tiny_shape();
  shape.vocab_size = tokenizer().vocab_size();
  return shape;
}

const std::vector<std::string> kTurns = {"Hello there", "What is it?", "And then? Go on!"};
constexpr int64_t kRoom = 1000;

/// A conversation with everything it needs.
class Talk {
 public:
  explicit Talk(const CacheConfig& cache, ChatOptions options = {},
                ChatFormat format = ChatFormat::kChatml)
      : form_(usual_template(format, {}), tokenizer()),
        decoder_(tiny_llama(3, cache, byte_shape()), decoder_options()),
        session_(decoder_, form_, tokenizer(), with_defaults(std::move(options))) {}

  /// The answer's text.
  std::string ask(const std::string& user) {
    std::string text;
    answer_ = session_.ask(
        user, [&](const std::string& piece) { text += piece; }, is_over);
    return text;
  }

  ChatSession& session() { return session_; }
  const ChatAnswer& answer() const { return answer_; }
  const ChatPrompt& form() const { return form_; }
  std::function<bool()> is_over;

 private:
  static DecoderOptions decoder_options() {
    DecoderOptions options;
    options.decode_buffer = 4;
    options.max_tokens = kRoom;
    return options;
  }
  static ChatOptions with_defaults(ChatOptions options) {
    options.generation.max_new_tokens = 12;
    return options;
  }

  ChatPrompt form_;
  Decoder decoder_;
  ChatSession session_;
  ChatAnswer answer_;
};

/// The greedy answer to `prompt`, all of which is read anew.
Ids answer_to(const CacheConfig& cache, const Ids& prompt, const std::vector<int64_t>& ends) {
  DecoderOptions decoder_options;
  decoder_options.decode_buffer = 4;
  decoder_options.max_tokens = kRoom;
  Decoder decoder(tiny_llama(3, cache, byte_shape()), decoder_options);
  GenerationOptions options;
  options.max_new_tokens = 12;
  options.end_tokens = ends;
  options.check_every = 1;
  const auto made =
      generate(decoder, torch::tensor(prompt, torch::kInt64).unsqueeze(0), options)[0];
  Ids ids;
  for (int64_t t = 0; t < made.size(0); ++t) ids.push_back(made[t].item<int32_t>());
  return ids;
}

void append(Ids& ids, const Ids& more) { ids.insert(ids.end(), more.begin(), more.end()); }

/// A token that this model makes somewhere in its first answers: it ends answers in these tests.
int64_t common_token(const CacheConfig& cache) {
  const Talk talk(cache);
  return answer_to(cache, talk.form().first_turn("", kTurns[0]), {})[5];
}

}  // namespace

TEST_CASE("history in the cache is the same as reading everything anew", "[generate]") {
  const CacheConfig none;
  const auto check = [&](const std::vector<int64_t>& ends) {
    ChatOptions options;
    options.generation.end_tokens = ends;
    Talk talk(none, options);
    Ids all;
    for (const auto& user : kTurns) {
      append(all, all.empty() ? talk.form().first_turn("", user)
                              : talk.form().next_turn(user, /*is_closed=*/false));
      const auto made = answer_to(none, all, ends);
      const bool closed = !ends.empty() && made.back() == ends[0];
      const Ids shown(made.begin(), made.end() - (closed ? 1 : 0));
      // (bytes that are no character of UTF-8 are shown as U+FFFD, so tokens are counted)
      talk.ask(user);
      CHECK(talk.answer().made == static_cast<int64_t>(shown.size()));
      CHECK(talk.answer().cut == !closed);
      append(all, shown);
      CHECK(talk.session().position() == static_cast<int64_t>(all.size()) - (closed ? 0 : 1));
    }
  };
  check({});
  check({common_token(none)});
}

TEST_CASE("a turn reads its own tokens alone, under every policy", "[generate]") {
  for (const auto& policy_case : all_policies()) {
    INFO(policy_case.name);
    Talk talk(policy_case.cache);
    for (const auto& user : kTurns) {
      const bool is_first = talk.session().position() == 0;
      const auto own = is_first ? talk.form().first_turn("", user)
                                : talk.form().next_turn(user, /*is_closed=*/false);
      talk.ask(user);
      // The last token of an answer that was cut is read with the next turn.
      CHECK(talk.answer().read == static_cast<int64_t>(own.size()) + (is_first ? 0 : 1));
      CHECK(talk.answer().made == 12);
      CHECK(talk.session().slots() <= policy_case.cache.slots + 4 + 1);
    }
  }
}

TEST_CASE("text of an answer is that of its tokens without blanks before it", "[generate]") {
  const CacheConfig none;
  Talk talk(none);
  const auto made = answer_to(none, talk.form().first_turn("", kTurns[0]), {});
  const auto text = talk.ask(kTurns[0]);
  std::string letters;
  for (const int32_t id : made) {
    if (id > ' ' && id < 127) letters += static_cast<char>(id);
  }
  std::string shown;
  for (const char c : text) {
    if (c > ' ' && c < 127) shown += c;
  }
  CHECK(shown.starts_with(letters));
  CHECK_FALSE(text.starts_with(' '));
}

TEST_CASE("a stop text ends an answer, and the history has what was shown", "[generate]") {
  const CacheConfig none;
  for (const auto format : {ChatFormat::kChatml, ChatFormat::kNone}) {
    INFO(name_of(format));
    // Of this model's first answer, all that is shown; then its middle becomes a stop text.
    const auto whole = Talk(none, {}, format).ask(kTurns[0]);
    REQUIRE(whole.size() >= 4);
    ChatOptions options;
    options.stop_texts = {whole.substr(whole.size() / 2, 2)};
    Talk talk(none, options, format);
    const auto shown_of = [&](const Ids& history) {
      std::string text;
      AnswerStream answer(&tokenizer(), history, {}, options.stop_texts,
                          [&](const std::string& piece) { text += piece; });
      answer.take(torch::tensor(answer_to(none, history, {}), torch::kInt64).unsqueeze(0));
      answer.finish();
      return text;
    };

    Ids history = talk.form().first_turn("", kTurns[0]);
    const auto first = shown_of(history);
    CHECK(talk.ask(kTurns[0]) == strip_left(first));
    CHECK(first.find(options.stop_texts[0]) == std::string::npos);
    CHECK_FALSE(talk.answer().cut);
    CHECK(talk.answer().made < 12);
    CHECK(talk.session().position() == static_cast<int64_t>(history.size()));

    append(history, talk.form().next_turn(kTurns[1], /*is_closed=*/false, "", first));
    CHECK(talk.ask(kTurns[1]) == strip_left(shown_of(history)));
  }
}

TEST_CASE("who asks may end an answer", "[generate]") {
  Talk talk(tiny_cache());
  int64_t asked = 0;
  talk.is_over = [&] { return ++asked == 3; };
  talk.ask(kTurns[0]);
  CHECK(talk.answer().made == 3);
  CHECK(talk.answer().cut);
}

TEST_CASE("a new beginning forgets everything but the document", "[generate]") {
  for (const bool has_document : {false, true}) {
    INFO("document " << has_document);
    ChatOptions options;
    options.generation.sampling.repetition_penalty = 1.5;  // remembers what was seen
    Talk talk(tiny_cache(), options);
    if (has_document)
      talk.session().read_document(talk.form().context("", std::string(100, 'x')), {});
    const auto start = talk.session().position();
    const auto first = talk.ask(kTurns[0]);
    const auto second = talk.ask(kTurns[1]);
    talk.session().reset();
    CHECK(talk.session().position() == start);
    CHECK(talk.ask(kTurns[0]) == first);
    CHECK(talk.ask(kTurns[1]) == second);
  }
}

TEST_CASE("a document and its first question are one turn", "[generate]") {
  const CacheConfig none;
  for (const auto format : {ChatFormat::kChatml, ChatFormat::kNone}) {
    Talk talk(none, {}, format);
    const std::string document = "It was a dark night.";
    auto all = talk.form().context("", document);
    talk.session().read_document(all, {});
    append(all, talk.form().question_about_document(kTurns[0]));
    talk.ask(kTurns[0]);
    CHECK(talk.answer().read + static_cast<int64_t>(talk.form().context("", document).size()) ==
          static_cast<int64_t>(all.size()));
    Talk whole(none, {}, format);
    whole.session().read_document(all, {});  // (as ids: nothing asks what they are)
    CHECK(whole.session().position() + 11 == talk.session().position());
  }
}

TEST_CASE("a full cache without a policy is the user's to empty", "[generate]") {
  ChatOptions options;
  options.max_tokens = 60;
  Talk talk(CacheConfig(), options);
  talk.ask(kTurns[0]);
  const auto position = talk.session().position();
  const auto line = user_error_of([&] { talk.ask(std::string(100, 'a')); });
  CHECK(user_error_of([&] { talk.session().check_room_for(std::string(100, 'a')); }) == line);
  CHECK_CONTAINS(line, "exceeds the 60 that there is room for");
  CHECK(talk.session().position() == position);
  talk.session().reset();
  CHECK_NOTHROW(talk.ask(kTurns[0]));
}
