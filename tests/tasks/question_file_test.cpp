#include "tasks/question_file.h"

#include "core/files.h"
#include "tasks/many_shot.h"
#include "tasks/scoring.h"
#include "tests/support/catch.h"
#include "tests/support/chunk_tokenizer.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/user_error.h"

using namespace lococo;
using namespace lococo::testing;

namespace {

struct Files {
  TemporaryFolder folder;
  ChunkTokenizer tokenizer;
  PlainForm form{tokenizer};

  EvalTaskConfig config(EvalTask task, const std::string& lines) const {
    write_text_file(folder / "q.jsonl", lines);
    EvalTaskConfig config;
    config.task = task;
    config.questions = folder / "q.jsonl";
    return config;
  }
  std::string text_of(const TaskSample& sample) const {
    return tokenizer.decode(sample.context_ids) + "|" + tokenizer.decode(sample.question_ids);
  }
};

}  // namespace

TEST_CASE("A choice with a question, word for word", "[tasks]") {
  const Files files;
  ChoiceSource source(
      files.config(EvalTask::kChoice,
                   "{\"context\": \"A fox.\", \"question\": \"Who?\", \"options\": [\"a fox\", "
                   "\"an ox\"], \"answer\": 0}\n\n{\"context\": \"It is \", \"options\": "
                   "[\"hot\", \"cold\", \"wet\"], \"answer\": \"cold\", \"id\": 7}\n"),
      files.form);
  REQUIRE(source.size() == 2);
  const TaskSample first = source.sample(0);
  CHECK(files.text_of(first) == "A fox.\n|Question: Who? Answer:");
  CHECK(files.tokenizer.decode(first.option_ids.at(1)) == " an ox");
  CHECK((first.correct == 0 && first.trial == 0 && first.chance == 0.5));
  const TaskSample second = source.sample(1);
  CHECK(files.text_of(second) == "It| is");  // options go on from the last token
  CHECK(files.tokenizer.decode(second.option_ids.at(0)) == " hot");
  CHECK(second.correct == 1);
  for (const TaskSample& sample : {first, second}) {
    for (const Score& score : scores_of(sample, oracle_answer(sample))) CHECK(score.value == 1.0);
  }
}

TEST_CASE("Options are compared by their sums and by the byte", "[tasks]") {
  TaskSample sample;
  sample.scoring = Scoring::kChoice;
  sample.options = {"long option", "no"};
  sample.correct = 0;
  TaskAnswer answer;
  answer.option_log_likelihoods = {-11.0, -4.0};  // -1 and -2 a byte
  const auto scores = scores_of(sample, answer);
  CHECK((scores[0].metric == "accuracy" && scores[0].value == 0.0));
  CHECK((scores[1].metric == "accuracy_norm" && scores[1].value == 1.0));
}

TEST_CASE("Who guesses among options is right by chance", "[tasks]") {
  const Files files;
  std::string lines;
  for (int i = 0; i < 2000; ++i) {
    lines += "{\"context\": \"c\", \"options\": [\"a\", \"b\", \"c\", \"d\"], \"answer\": " +
             std::to_string(i % 4) + "}\n";
  }
  ChoiceSource source(files.config(EvalTask::kChoice, lines), files.form);
  double right = 0.0;
  for (int64_t i = 0; i < source.size(); ++i) {
    const TaskSample sample = source.sample(i);
    right += scores_of(sample, random_answer(sample))[0].value;
  }
  CHECK(right / 2000 == Approx(0.25).margin(4 * 0.0097));
}

TEST_CASE("A question with answers, word for word", "[tasks]") {
  const Files files;
  QaSource source(files.config(EvalTask::kQa,
                               "{\"context\": \"A fox.\", \"question\": \"Who?\", \"answers\": "
                               "[\"The fox\", \"fox\"]}\n{\"context\": \"B.\", \"question\": "
                               "\"What?\", \"answers\": [\"B\"]}\n"),
                  files.form);
  const TaskSample sample = source.sample(0);
  CHECK(files.text_of(sample) == "A fox.\n|Question: Who? Answer:");
  CHECK(sample.max_new_tokens == 32);
  CHECK(sample.guess == "B");
  for (const Score& score : scores_of(sample, oracle_answer(sample))) CHECK(score.value == 1.0);
  for (const Score& score : scores_of(sample, random_answer(sample))) CHECK(score.value == 0.0);
  TaskAnswer answer;
  answer.text = " a red fox.";
  const auto scores = scores_of(sample, answer);
  CHECK((scores[0].metric == "f1" && scores[0].value == Approx(2.0 / 3)));
  CHECK((scores[1].metric == "exact_match" && scores[1].value == 0.0));
  CHECK((scores[2].metric == "rouge_l" && scores[2].value == Approx(0.5)));
}

TEST_CASE("A bad line of a choice file is refused with its number", "[tasks]") {
  const Files files;
  const std::string good = "{\"context\": \"c\", \"options\": [\"a\", \"b\"], \"answer\": 1}\n";
  const auto error_of = [&](const std::string& line) {
    const auto config = files.config(EvalTask::kChoice, good + "\n" + line);
    const std::string error = user_error_of([&] { ChoiceSource(config, files.form); });
    CHECK_CONTAINS(error, "q.jsonl:3: ");
    return error;
  };
  CHECK_CONTAINS(error_of("{"), "is not JSON (at byte 2): it does not end in its line; of JSONL");
  CHECK_CONTAINS(error_of("[1]"), "not a JSON object but array");
  CHECK_CONTAINS(error_of("{\"options\": [\"a\", \"b\"], \"answer\": 1}"), "no key 'context'");
  CHECK_CONTAINS(error_of("{\"context\": 5, \"options\": [\"a\", \"b\"], \"answer\": 1}"),
                 "'context' holds no text but number");
  CHECK_CONTAINS(error_of("{\"context\": \" \", \"options\": [\"a\", \"b\"], \"answer\": 1}"),
                 "'context' is empty");
  CHECK_CONTAINS(error_of("{\"context\": \"c\", \"options\": \"a\", \"answer\": 1}"),
                 "holds no list of texts but string");
  CHECK_CONTAINS(error_of("{\"context\": \"c\", \"options\": [\"a\"], \"answer\": 0}"),
                 "holds 1 texts, at least 2");
  CHECK_CONTAINS(error_of("{\"context\": \"c\", \"options\": [\"a\", \"a\"], \"answer\": 0}"),
                 "holds 'a' twice");
  CHECK_CONTAINS(error_of("{\"context\": \"c\", \"options\": [\"a\", 3], \"answer\": 0}"),
                 "number where a text should be");
  CHECK_CONTAINS(error_of("{\"context\": \"c\", \"options\": [\"a\", \"b\"], \"answer\": 2}"),
                 "is 2, but options are counted from 0 to 1");
  CHECK_CONTAINS(error_of("{\"context\": \"c\", \"options\": [\"a\", \"b\"], \"answer\": -1}"),
                 "is -1, but options");
  CHECK_CONTAINS(error_of("{\"context\": \"c\", \"options\": [\"a\", \"b\"], \"answer\": \"x\"}"),
                 "is none of the options");
  CHECK_CONTAINS(error_of("{\"context\": \"c\", \"options\": [\"a\", \"b\"], \"answer\": 0.5}"),
                 "neither an option's index nor its text");
  CHECK_CONTAINS(error_of("{\"context\": \"\xFF\", \"options\": [\"a\", \"b\"], \"answer\": 0}"),
                 "is not UTF-8");
}

TEST_CASE("A choice whose context leaves nothing to read before its options is refused",
          "[tasks]") {
  const Files files;
  const auto config =
      files.config(EvalTask::kChoice,
                   "{\"context\": \"It is\", \"options\": [\"a\", \"b\"], \"answer\": 1}\n"
                   "{\"context\": \"I\", \"question\": \"Is it?\", \"options\": [\"a\", \"b\"], "
                   "\"answer\": 1}\n"
                   "{\"context\": \"I\", \"options\": [\"a\", \"b\"], \"answer\": 1}\n");
  const ChunkTokenizer without_bos(/*with_bos=*/false);
  const PlainForm form{without_bos};
  ChoiceSource source(config, form);
  CHECK_FALSE(source.sample(0).context_ids.empty());
  CHECK_FALSE(source.sample(1).context_ids.empty());
  const std::string error = user_error_of([&] { source.sample(2); });
  CHECK_CONTAINS(error, "q.jsonl:3: the context is a single token");
  CHECK(ChoiceSource(config, files.form).sample(2).context_ids.size() == 1);  // BOS is read before
}

TEST_CASE("A bad line of a qa file is refused with its number", "[tasks]") {
  const Files files;
  const auto error_of = [&](const std::string& lines) {
    const auto config = files.config(EvalTask::kQa, lines);
    return user_error_of([&] { QaSource(config, files.form); });
  };
  CHECK_CONTAINS(error_of("{\"context\": \"c\", \"question\": \"q\", \"answers\": []}"),
                 "q.jsonl:1: key 'answers' holds 0 texts");
  CHECK_CONTAINS(error_of("{\"context\": \"c\", \"answers\": [\"a\"]}"), "no key 'question'");
  CHECK_CONTAINS(error_of("\n \n"), "holds no records");
  CHECK_CONTAINS(user_error_of([&] { read_qa_file(""); }), "eval.questions is missing");
}

TEST_CASE("Examples of a file are told by their labels", "[tasks]") {
  const Files files;
  std::string lines;
  for (const std::string word : {"ant", "bee", "cow", "dog"}) {
    lines += "{\"text\": \"" + word + "\", \"label\": \"living\"}\n";
  }
  for (const std::string word : {"pan", "pot", "cup"}) {
    lines += "{\"text\": \"" + word + "\", \"label\": \"thing\"}\n";
  }
  auto config = files.config(EvalTask::kManyShot, lines);
  config.trials = 6;
  ManyShotSource source(config, {60}, files.form);
  const TaskSample sample = source.sample(0);
  CHECK(files.text_of(sample) ==
        "Each of the following texts has a label.\nText: dog Label: living\nText: cup Label: "
        "thing\nText: pan Label: thing\nText: ant Label: living\n|Text: pot Label:");
  CHECK(sample.options == std::vector<std::string>{"living", "thing"});
  int64_t right = 0;
  for (int64_t i = 0; i < 6; ++i) {
    const TaskSample other = source.sample(i);
    right += other.correct;
    const std::string asked = files.tokenizer.decode(other.question_ids);
    // The text that is asked for is none of the examples.
    CHECK(files.tokenizer.decode(other.context_ids).find(asked) == std::string::npos);
  }
  CHECK(right == 3);

  const auto error_of = [&](const std::string& content) {
    const auto bad = files.config(EvalTask::kManyShot, content);
    return user_error_of([&] { ManyShotSource(bad, {60}, files.form); });
  };
  CHECK_CONTAINS(error_of("{\"text\": \"a\", \"label\": \"x\"}\n{\"text\": \"b\"}"),
                 "q.jsonl:2: the record has no key 'label'");
  CHECK_CONTAINS(error_of("{\"text\": \"a\", \"label\": \"x\"}"), "has 1 different labels");
  CHECK_CONTAINS(error_of(lines + "{\"text\": \"a\", \"label\": \"x\"}"),
                 "the label 'x' has a single text");
}

TEST_CASE("Built-in examples hold every label equally often", "[tasks]") {
  const Files files;
  EvalTaskConfig config;
  config.task = EvalTask::kManyShot;
  config.trials = 16;
  ManyShotSource source(config, {1500}, files.form);
  std::vector<int> right(8, 0);
  for (int64_t i = 0; i < 16; ++i) {
    const TaskSample sample = source.sample(i);
    REQUIRE(sample.options.size() == 8);
    ++right[static_cast<size_t>(sample.correct)];
    const std::string text = files.tokenizer.decode(sample.context_ids);
    size_t fewest = 1000, most = 0;
    for (const std::string& label : sample.options) {
      size_t count = 0;
      const std::string part = "Label: " + label + "\n";
      for (size_t at = 0; (at = text.find(part, at)) != std::string::npos; ++at) ++count;
      fewest = std::min(fewest, count);
      most = std::max(most, count);
    }
    CHECK(most - fewest <= 1);
    CHECK(most > 5);
  }
  CHECK(right == std::vector<int>(8, 2));
}
