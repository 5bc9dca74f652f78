#include "chat/transcript.h"

#include <algorithm>
#include <memory>

#include "chat/chat_prompt.h"
#include "chat/token_places.h"
#include "tests/support/catch.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/tiny_bpe.h"
#include "tests/support/tiny_tokenizer.h"
#include "tests/support/user_error.h"
#include "tokenizer/tokenizer.h"

using namespace lococo;
using namespace lococo::testing;

namespace {

using Ids = std::vector<int32_t>;

/// Bytes, special tokens, and pairs of bytes that become one token wherever they meet.
class PairTokenizer final : public Tokenizer {
 public:
  explicit PairTokenizer(std::vector<std::string> pairs = {}) : pairs_(std::move(pairs)) {}

  Ids encode(const std::string& text) const override { return encode_ordinary(text); }
  Ids encode_ordinary(const std::string& text) const override {
    Ids ids;
    for (size_t at = 0; at < text.size(); ++at) {
      const auto found = std::find(pairs_.begin(), pairs_.end(), text.substr(at, 2));
      if (found == pairs_.end()) {
        ids.push_back(static_cast<unsigned char>(text[at]));
      } else {
        ids.push_back(300 + static_cast<int32_t>(found - pairs_.begin()));
        ++at;
      }
    }
    return ids;
  }
  std::string decode(const Ids& ids) const override {
    std::string text;
    for (const int32_t id : ids) {
      text += id < 256   ? std::string(1, static_cast<char>(id))
              : id < 300 ? specials().at(static_cast<size_t>(id) - 256)
                         : pairs_.at(static_cast<size_t>(id) - 300);
    }
    return text;
  }
  int64_t vocab_size() const override { return 400; }
  int32_t bos_id() const override { return 256; }
  int32_t eos_id() const override { return 257; }
  std::optional<int32_t> special_id(const std::string& text) const override {
    const auto found = std::find(specials().begin(), specials().end(), text);
    if (found == specials().end()) return std::nullopt;
    return static_cast<int32_t>(256 + (found - specials().begin()));
  }
  uint64_t fingerprint() const override { return 1; }

 private:
  static const std::vector<std::string>& specials() {
    static const std::vector<std::string> all = {"<s>",
                                                 "</s>",
                                                 "<|im_start|>",
                                                 "<|im_end|>",
                                                 "<|begin_of_text|>",
                                                 "<|start_header_id|>",
                                                 "<|end_header_id|>",
                                                 "<|eot_id|>"};
    return all;
  }
  std::vector<std::string> pairs_;
};

/// The text with the targets in braces: "<s>hi\n{ho</s>}".
std::string marked(const Transcript& transcript, const Tokenizer& tokenizer) {
  std::string text;
  for (size_t i = 0; i < transcript.ids.size(); ++i) {
    for (const auto& answer : transcript.answers) {
      if (answer.begin == static_cast<int64_t>(i)) text += "{";
    }
    text += tokenizer.decode({transcript.ids[i]});
    for (const auto& answer : transcript.answers) {
      if (answer.end == static_cast<int64_t>(i) + 1) text += "}";
    }
  }
  return text;
}

TranscriptMaker chat_maker(ChatFormat format, const Tokenizer& tokenizer) {
  return {usual_template(format, {}), tokenizer};
}

const std::vector<ChatMessage> kOneTurn = {{ChatRole::kUser, "Who?"},
                                           {ChatRole::kAssistant, "Ann"}};
const std::vector<ChatMessage> kTwoTurns = {{ChatRole::kSystem, "Be brief."},
                                            {ChatRole::kUser, "Who?"},
                                            {ChatRole::kAssistant, "Ann"},
                                            {ChatRole::kUser, " And now?"},
                                            {ChatRole::kAssistant, "Bob "}};

}  // namespace

TEST_CASE("the targets of each template are its answers with their end tokens", "[chat]") {
  const PairTokenizer tokenizer;
  const auto text = [&](const TranscriptMaker& maker, const std::vector<ChatMessage>& messages) {
    return marked(maker.make(messages), tokenizer);
  };
  const auto llama2 = chat_maker(ChatFormat::kLlama2, tokenizer);
  CHECK(text(llama2, kOneTurn) == "<s>[INST] Who? [/INST]{ Ann</s>}");
  CHECK(text(llama2, kTwoTurns) ==
        "<s>[INST] <<SYS>>\nBe brief.\n<</SYS>>\n\nWho? [/INST]{ Ann</s>}"
        "<s>[INST] And now? [/INST]{ Bob</s>}");
  const auto llama3 = chat_maker(ChatFormat::kLlama3, tokenizer);
  CHECK(text(llama3, kOneTurn) ==
        "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nWho?<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\n{Ann<|eot_id|>}");
  CHECK(text(llama3, kTwoTurns) ==
        "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nBe brief.<|eot_id|>"
        "<|start_header_id|>user<|end_header_id|>\n\nWho?<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\n{Ann<|eot_id|>}"
        "<|start_header_id|>user<|end_header_id|>\n\nAnd now?<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\n{Bob<|eot_id|>}");
  const auto chatml = chat_maker(ChatFormat::kChatml, tokenizer);
  CHECK(text(chatml, kTwoTurns) ==
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nWho?<|im_end|>\n"
        "<|im_start|>assistant\n{Ann<|im_end|>}\n<|im_start|>user\n And now?<|im_end|>\n"
        "<|im_start|>assistant\n{Bob <|im_end|>}");
  const auto plain = chat_maker(ChatFormat::kPlain, tokenizer);
  CHECK(text(plain, kOneTurn) == "<s>Who?\n{Ann</s>}");
  CHECK(text(plain, kTwoTurns) == "<s>Be brief.\nWho?\n{Ann</s>} And now?\n{Bob </s>}");
  const auto longlora = chat_maker(ChatFormat::kLongLora, tokenizer);
  CHECK(text(longlora, kOneTurn) == "<s>[INST]Who?[/INST]{Ann</s>}");

  CHECK(llama2.end_tokens() == Ids{257});
  CHECK(chatml.end_tokens() == Ids{259, 257});
  CHECK(plain.end_tokens() == Ids{257});
}

TEST_CASE("the targets by hand: ids of a llama-2 turn", "[chat]") {
  const PairTokenizer tokenizer({" A"});
  const auto transcript = chat_maker(ChatFormat::kLlama2, tokenizer).make(kOneTurn);
  // <s> [ I N S T ] _ W h o ? _ [ / I N S T ] " A" n n </s>
  CHECK(transcript.ids == Ids{256, '[', 'I', 'N', 'S', 'T', ']', ' ', 'W', 'h', 'o', '?',
                              ' ', '[', '/', 'I', 'N', 'S', 'T', ']', 300, 'n', 'n', 257});
  CHECK(transcript.answers == std::vector<TokenSpan>{{20, 24}});
}

TEST_CASE("a token that straddles the beginning of an answer belongs to the prompt", "[chat]") {
  const PairTokenizer tokenizer({"]A", "\nA", "n\n"});
  const auto longlora = chat_maker(ChatFormat::kLongLora, tokenizer);
  CHECK(marked(longlora.make(kOneTurn), tokenizer) == "<s>[INST]Who?[/INST]A{nn</s>}");
  const auto chatml = chat_maker(ChatFormat::kChatml, tokenizer);
  CHECK(marked(chatml.make(kOneTurn), tokenizer) ==
        "<|im_start|>user\nWho?<|im_end|>\n<|im_start|>assistant\nA{nn<|im_end|>}");
  // Nothing straddles here: "n\n" lies within the prompt.
  const auto plain = chat_maker(ChatFormat::kPlain, tokenizer);
  const std::vector<ChatMessage> messages = {{ChatRole::kUser, "When"},
                                             {ChatRole::kAssistant, "Now"}};
  CHECK(marked(plain.make(messages), tokenizer) == "<s>When\n{Now</s>}");
}

TEST_CASE("a transcript begins with the ids that a conversation begins with", "[chat]") {
  const PairTokenizer tokenizer;
  for (const auto format : {ChatFormat::kPlain, ChatFormat::kLlama2, ChatFormat::kLlama3,
                            ChatFormat::kChatml, ChatFormat::kLongLora}) {
    INFO(name_of(format));
    const ChatPrompt prompt(usual_template(format, {}), tokenizer);
    const auto transcript = chat_maker(format, tokenizer).make(kTwoTurns);
    const auto first = prompt.first_turn("Be brief.", "Who?");
    const auto& answer = transcript.answers.front();
    CHECK(answer.begin == static_cast<int64_t>(first.size()));
    CHECK(std::equal(first.begin(), first.end(), transcript.ids.begin()));
    const auto next = prompt.next_turn(" And now?", /*is_closed=*/true);
    CHECK(std::equal(next.begin(), next.end(), transcript.ids.begin() + answer.end));
    CHECK(answer.end + static_cast<int64_t>(next.size()) == transcript.answers.back().begin);
  }
}

TEST_CASE("the document of the first message is found among its tokens", "[chat]") {
  const PairTokenizer tokenizer;
  const std::vector<ChatMessage> messages = {{ChatRole::kUser, "  abcd\nq?", 2, 7},
                                             {ChatRole::kAssistant, "x"}};
  const auto text_of = [&](const Transcript& transcript, TokenSpan range) {
    return tokenizer.decode(
        {transcript.ids.begin() + range.begin, transcript.ids.begin() + range.end});
  };
  for (const auto format : {ChatFormat::kLlama2, ChatFormat::kLlama3, ChatFormat::kChatml}) {
    const auto transcript = chat_maker(format, tokenizer).make(messages);
    CHECK(text_of(transcript, transcript.document) == "abcd\n");
    CHECK(text_of(transcript, {transcript.document.end, transcript.first_user_end}) == "q?");
  }
}

TEST_CASE("places are found among tokens of a part of a character", "[chat]") {
  TemporaryFolder folder;
  write_byte_tokenizer(folder / "bytes.model");
  write_json(folder / "tokenizer.json", tiny_bpe());
  for (const std::string name : {"bytes.model", "tokenizer.json"}) {
    INFO(name);
    const auto tokenizer = load_tokenizer(folder / name);
    std::string text;
    std::vector<size_t> begins;  // of characters
    for (const std::string part : {"hello wor", "é", "ひ", "😀", " hello", "é", "a", "ひ"}) {
      begins.push_back(text.size());
      text += part;
    }
    const Ids ids = tokenizer->encode_ordinary(text);
    for (const size_t begin : begins) {
      const size_t k = token_at(*tokenizer, text, ids, begin);
      // From there on the tokens are the text from there on, unless one straddles the place.
      const auto head = tokenizer->decode({ids.begin(), ids.begin() + static_cast<long>(k)});
      CHECK(head == text.substr(0, begin));
    }
    CHECK(token_at(*tokenizer, text, ids, text.size()) == ids.size());
    CHECK(token_at(*tokenizer, text, ids, 2) >= 1);
  }
}

TEST_CASE("a template whose tokens the tokenizer lacks is refused", "[chat]") {
  TemporaryFolder folder;
  write_tiny_tokenizer(folder / "tokenizer.model", /*with_bos=*/false);
  const auto tokenizer = load_tokenizer(folder / "tokenizer.model");
  CHECK_CONTAINS(user_error_of([&] { chat_maker(ChatFormat::kChatml, *tokenizer); }),
                 "data.template: chatml needs <|im_start|>");
  CHECK_CONTAINS(user_error_of([&] { chat_maker(ChatFormat::kLongLora, *tokenizer); }),
                 "data.template: longlora needs");
  CHECK_CONTAINS(user_error_of([&] { chat_maker(ChatFormat::kPlain, *tokenizer); }),
                 "data.template: plain ends answers with the tokenizer's end-of-text token");
}
