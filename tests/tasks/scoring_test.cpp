#include "tasks/scoring.h"

#include "chat/chat_prompt.h"
#include "tasks/cells.h"
#include "tasks/chat_form.h"
#include "tasks/text_metrics.h"
#include "tests/support/catch.h"
#include "tests/support/chunk_tokenizer.h"

using namespace lococo;
using namespace lococo::testing;

TEST_CASE("Greedy ids that begin with the answer's are right", "[tasks]") {
  TaskSample sample;
  sample.answer_ids = {5, 6};
  const auto score = [&](std::vector<int32_t> ids) {
    TaskAnswer answer;
    answer.ids = std::move(ids);
    return scores_of(sample, answer)[0].value;
  };
  CHECK(score({5, 6}) == 1.0);
  CHECK(score({5, 6, 7}) == 1.0);
  CHECK(score({5}) == 0.0);
  CHECK(score({4, 5, 6}) == 0.0);
}

TEST_CASE("Answers that are contained count as RULER counts them", "[tasks]") {
  TaskSample sample;
  sample.answers = {"1234567", "Otter", "heron", "ivy"};
  TaskAnswer answer;
  answer.text = "they are OTTER, and 1234567.";
  sample.scoring = Scoring::kContainsAll;
  CHECK(scores_of(sample, answer)[0].value == 0.5);
  CHECK_FALSE(scores_of(sample, answer)[0].is_binary);
  sample.scoring = Scoring::kContainsAny;
  CHECK(scores_of(sample, answer)[0].value == 1.0);
  answer.text = "none";
  CHECK(scores_of(sample, answer)[0].value == 0.0);
}

TEST_CASE("Texts are compared as SQuAD and ROUGE-L do", "[tasks]") {
  CHECK(squad_words("The  quick, (brown) fox's an-ox!") ==
        std::vector<std::string>{"quick", "brown", "foxs", "anox"});
  CHECK(exact_match("The Eiffel Tower.", "eiffel tower") == 1.0);
  CHECK(exact_match("eiffel towers", "eiffel tower") == 0.0);
  // Precision 2 / 4 (red twice, one of them too many), recall 2 / 2.
  CHECK(token_f1("red red fox runs", "a red fox") == Approx(2.0 / 3));
  CHECK(token_f1("", "the") == 1.0);
  CHECK(token_f1("x", "the") == 0.0);
  // Common subsequence "the cat sat", of 5 and 6 words.
  CHECK(rouge_l("The cat quickly sat down", "the cat, it sat on it") == Approx(6.0 / 11));
  CHECK(rouge_l("", "word") == 0.0);
  CHECK(rouge_l("Москва", "Москва") == 1.0);
  CHECK(rouge_l("b a", "a b") == Approx(0.5));
}

TEST_CASE("Intervals are Wilson's for shares and normal for means", "[tasks]") {
  // Wilson, 95 %: 8 of 10 lie in (0.4902, 0.9433), 0 of 20 below 0.1611.
  const Estimate eight = wilson_interval(8, 10);
  CHECK(eight.mean == 0.8);
  CHECK(eight.low == Approx(0.4902).margin(1e-4));
  CHECK(eight.high == Approx(0.9433).margin(1e-4));
  CHECK(wilson_interval(0, 20).low == 0.0);
  CHECK(wilson_interval(0, 20).high == Approx(0.1611).margin(1e-4));
  // 0, 0.5, 1: mean 0.5, standard deviation 0.5.
  const Estimate mean = normal_interval(1.5, 1.25, 3);
  CHECK(mean.mean == 0.5);
  CHECK(mean.high - mean.mean == Approx(0.5).margin(0.01));
  CHECK(normal_interval(4 * 0.5, 4 * 0.25, 4).high == 0.5);
  CHECK(normal_interval(0.3, 0.09, 1).high == 1.0);
}

TEST_CASE("Samples are summed up by cell", "[tasks]") {
  std::vector<Cell> cells;
  TaskSample sample;
  sample.task = "needle";
  sample.length = 100;
  sample.chance = 0.1;
  for (const double depth : {0.0, 50.0}) {
    sample.depth = depth;
    for (const double value : {0.0, 1.0, 1.0}) {
      add_scores(sample, {{"accuracy", value, true}, {"f1", value / 2, false}}, &cells);
    }
  }
  REQUIRE(cells.size() == 4);
  CHECK((cells[0].trials == 3 && cells[0].sum == 2.0 && cells[0].depth == 0.0));
  CHECK(cells[0].estimate().high == wilson_interval(2, 3).high);
  CHECK(cells[1].metric == "f1");
  CHECK(cells[1].estimate().mean == Approx(1.0 / 3));
  CHECK(cells[0].chance == Approx(0.1));
  const auto whole = over_depths(cells);
  REQUIRE(whole.size() == 2);
  CHECK((whole[0].trials == 6 && whole[0].sum == 4.0 && whole[0].depth == kNoDepth));
  CHECK(whole[0].chance == Approx(0.1));
  CHECK_FALSE(whole[1].is_binary);
}

TEST_CASE("A prompt in plain chat form is the plain prompt", "[tasks]") {
  const ChunkTokenizer tokenizer;
  const ChatPrompt chat(ChatTemplate{}, tokenizer);
  const ChatForm form(chat, tokenizer, "");
  const PlainForm plain(tokenizer);
  const PromptIds a = form.ids("A fox.\n", "Who?", "It is"),
                  b = plain.ids("A fox.\n", "Who?", "It is");
  CHECK(a.context == b.context);
  CHECK(a.question == b.question);
}
