// What every task promises.
#include <algorithm>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>

#include "core/files.h"
#include "questions/facts.h"
#include "tasks/cells.h"
#include "tasks/sample_writer.h"
#include "tests/support/catch.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/user_error.h"
#include "tests/tasks/made_tasks.h"

using namespace lococo;
using namespace lococo::testing;

namespace {

double mean_score(TaskSource& source, const std::function<TaskAnswer(const TaskSample&)>& answer) {
  double sum = 0.0;
  for (int64_t i = 0; i < source.size(); ++i) {
    const TaskSample sample = source.sample(i);
    sum += scores_of(sample, answer(sample))[0].value;
  }
  return sum / static_cast<double>(source.size());
}

}  // namespace

TEST_CASE("Prompts of every task have nearly always exactly the tokens asked for", "[tasks]") {
  for (const EvalTaskConfig& config : drawn_tasks()) {
    std::map<std::string, std::vector<int64_t>> sizes;
    for (const int64_t length : {1024, 2000}) {
      const auto source = source_of(config, length);
      for (int64_t i = 0; i < source->size(); ++i) {
        const TaskSample sample = source->sample(i);
        CHECK(sample.length == length);
        CHECK(sample.num_tokens() <= length);
        CHECK(sample.num_tokens() >= length - 8);
        sizes[sample.task + " " + sample.kind].push_back(length - sample.num_tokens());
      }
    }
    for (const auto& [name, lacking] : sizes) {
      INFO(name);
      // "..." is one token in most vocabularies, but three here.
      if (name == "ruler fwe") continue;
      const auto exact = std::count(lacking.begin(), lacking.end(), 0);
      CHECK(exact * 10 >= static_cast<int64_t>(lacking.size()) * 9);
    }
  }
}

TEST_CASE("An oracle answers every task, and its answer has the tokens it may take", "[tasks]") {
  for (const EvalTaskConfig& config : drawn_tasks()) {
    const auto source = source_of(config);
    CHECK(mean_score(*source, oracle_answer) == 1.0);
    for (int64_t i = 0; i < source->size(); i += 7) {
      const TaskSample sample = source->sample(i);
      if (sample.scoring == Scoring::kChoice) continue;
      const auto size = form().answer_ids(".", oracle_answer(sample).text).size();
      // RULER's numbers of tokens suit a tokenizer with words for tokens, ours has letters.
      if (sample.task != "ruler") CHECK(static_cast<int64_t>(size) == sample.max_new_tokens);
    }
  }
}

TEST_CASE("Samples do not depend on the order or the number of calls", "[tasks]") {
  for (const EvalTaskConfig& config : drawn_tasks()) {
    const auto one = source_of(config), other = source_of(config);
    for (int64_t i = one->size() - 1; i >= 0; i -= 3) {
      const TaskSample sample = other->sample(i);
      other->sample(i / 2);
      CHECK(json_line(sample_json(one->sample(i))) == json_line(sample_json(sample)));
    }
    EvalTaskConfig seeded = config;
    seeded.seed = 2;
    CHECK(source_of(seeded)->sample(0).context_ids != one->sample(0).context_ids);
  }
}

TEST_CASE("Who guesses scores chance", "[tasks]") {
  // Words and names have few enough answers that a guess is sometimes right.
  EvalTaskConfig config = config_of(EvalTask::kNeedle);
  config.trials = 1500;
  for (const std::string kind : {"words", "names", "paraphrase", "digits"}) {
    config.kinds = {kind};
    const auto source = source_of(config, 300);
    double chance = 0.0;
    for (int64_t i = 0; i < source->size(); i += 10) chance += source->sample(i).chance / 150;
    const double score = mean_score(*source, random_answer);
    INFO(kind << ": " << score << ", chance " << chance);
    CHECK(std::abs(score - chance) <= 4.0 * std::sqrt(chance * (1 - chance) / 1500) + 1e-9);
    if (kind != "digits") CHECK(score > 0.0);
  }
}

TEST_CASE("Who guesses scores chance in RULER's words and among labels", "[tasks]") {
  EvalTaskConfig config = config_of(EvalTask::kRuler);
  config.kinds = {"cwe", "fwe"};
  config.trials = 150;
  EvalTaskConfig labels = config_of(EvalTask::kManyShot);
  labels.trials = 400;
  for (const EvalTaskConfig& task : {config, labels}) {
    const auto source = source_of(task, 1024);
    std::vector<Cell> cells;
    for (int64_t i = 0; i < source->size(); ++i) {
      const TaskSample sample = source->sample(i);
      add_scores(sample, scores_of(sample, random_answer(sample)), &cells);
    }
    for (const Cell& cell : cells) {
      INFO(cell.task << " " << cell.kind << " " << cell.metric << ": " << cell.estimate().mean
                     << ", chance " << cell.chance);
      const double spread = (cell.estimate().high - cell.estimate().low) / 2;
      CHECK(std::abs(cell.estimate().mean - cell.chance) <= 2.0 * spread);
      CHECK(cell.estimate().mean > 0.0);
    }
  }
}

TEST_CASE("A small passkey prompt, word for word", "[tasks]") {
  EvalTaskConfig config = config_of(EvalTask::kPasskey);
  config.hay = HayKind::kFiller;
  config.depths = {50};
  const TaskSample sample = source_of(config, 160)->sample(0);
  CHECK(context_of(sample) ==
        "There is an important info hidden inside a lot of irrelevant text. Find it and memorize "
        "them. I will quiz you about the important information there.\ngo. There and back again. "
        "The grass is green. The sky is blue. The sun is yellow. Here we go. The pass key is "
        "87526. Remember it. 87526 is the pass key. There and back again. The grass is green. The "
        "sky is blue. The sun is yellow. Here we go.\n");
  CHECK(question_of(sample) == "What is the pass key? The pass key is");
  REQUIRE(sample.answers.size() == 1);
  CHECK(sample.answers[0].size() == 5);
  CHECK(tokenizer().decode(sample.answer_ids) == " " + sample.answers[0]);
  CHECK(sample.max_new_tokens == 6);
  CHECK(sample.scoring == Scoring::kPrefix);
  CHECK(sample.num_tokens() == 160);
}

TEST_CASE("Passkeys are uniform over five digits, depths over the text", "[tasks]") {
  EvalTaskConfig config = config_of(EvalTask::kPasskey);
  config.trials = 300;
  const auto source = source_of(config, 600);
  double key = 0.0, depth = 0.0;
  for (int64_t i = 0; i < source->size(); ++i) {
    const TaskSample sample = source->sample(i);
    CHECK(context_of(sample).find("The pass key is " + sample.answers[0]) != std::string::npos);
    key += std::stod(sample.answers[0]) / 300;
    depth +=
        static_cast<double>(sample.fact_end) / 300 / static_cast<double>(sample.context_ids.size());
  }
  CHECK(key == Approx(55000).margin(4 * 26000 / std::sqrt(300)));
  CHECK(depth == Approx(0.55).margin(0.1));  // the sentences before the text take a tenth
}

TEST_CASE("A sample is written with all that others need", "[tasks]") {
  const auto source = source_of(config_of(EvalTask::kNeedle), 400);
  const TaskSample sample = source->sample(0);
  const TaskAnswer answer = oracle_answer(sample);
  const auto json =
      nlohmann::json::parse(json_line(answered_json(sample, answer, scores_of(sample, answer))));
  CHECK(json["task"] == "needle");
  CHECK(json["kind"] == "digits");
  CHECK(json["length"] == 400);
  CHECK(json["depth"].is_null());
  CHECK(json["context_ids"].get<std::vector<int32_t>>() == sample.context_ids);
  CHECK(json["question_ids"].get<std::vector<int32_t>>() == sample.question_ids);
  CHECK(json["answer_ids"].get<std::vector<int32_t>>() == sample.answer_ids);
  CHECK(json["scoring"] == "prefix");
  CHECK(json["answer"] == sample.answers[0]);
  CHECK(json["score"] == 1.0);
  CHECK(json["scores"]["accuracy"] == 1.0);
}
