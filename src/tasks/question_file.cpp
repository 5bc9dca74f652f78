#include "tasks/question_file.h"

#include <algorithm>

#include "core/error.h"
#include "questions/draws.h"
#include "tasks/record_file.h"

namespace lococo {
namespace {

constexpr const char* kQuestions = "eval.questions";
constexpr const char* kAnswerPrefix = "Answer:";
constexpr int64_t kQaTokens = 32;

// Where a prompt ends with its context, what comes next goes on from its last token.
void keep_one_for_the_question(PromptIds* ids) {
  if (!ids->question.empty() || ids->context.empty()) return;
  ids->question.push_back(ids->context.back());
  ids->context.pop_back();
}

std::string last_word(const std::string& text) {
  const size_t end = text.find_last_not_of(" \t\r\n") + 1;
  const size_t blank = text.find_last_of(" \t\r\n", end - 1);
  return text.substr(blank + 1, end - blank - 1);
}

std::string without_end_blanks(const std::string& text) {
  return text.substr(0, text.find_last_not_of(" \t\r\n") + 1);
}

}  // namespace

std::vector<ChoiceItem> read_choice_file(const std::string& path) {
  std::vector<ChoiceItem> items;
  for_each_record(path, kQuestions, [&](const Record& record) {
    ChoiceItem item{record.text("context"), record.optional_text("question"),
                    record.texts("options", 2)};
    item.correct = record.index("answer", item.options);
    item.place = record.place();
    items.push_back(std::move(item));
  });
  return items;
}

std::vector<QaItem> read_qa_file(const std::string& path) {
  std::vector<QaItem> items;
  for_each_record(path, kQuestions, [&](const Record& record) {
    items.push_back({record.text("context"), record.text("question"), record.texts("answers", 1)});
  });
  return items;
}

ChoiceSource::ChoiceSource(const EvalTaskConfig& task, const PromptForm& form)
    : seed_(task.seed), form_(form), items_(read_choice_file(task.questions)) {}

TaskSample ChoiceSource::sample(int64_t index) {
  const ChoiceItem& item = items_.at(static_cast<size_t>(index));
  TaskSample sample;
  sample.task = "choice";
  sample.trial = index;
  sample.scoring = Scoring::kChoice;
  sample.options = item.options;
  sample.correct = item.correct;
  PromptIds ids;
  std::string before = kAnswerPrefix;
  if (item.question.empty()) {
    ids = form_.ids(without_end_blanks(item.context), "", "");
    // In a conversation the option is an answer, in plain text it goes on from the context.
    before = ids.question.empty() ? last_word(item.context) : "";
    keep_one_for_the_question(&ids);
    if (ids.context.empty()) {
      throw UserError(item.place +
                      ": the context is a single token, which leaves none to read before the "
                      "options; give a longer \"context\", or a \"question\" beside it");
    }
  } else {
    ids = form_.ids(item.context + "\n", "Question: " + item.question, kAnswerPrefix);
  }
  sample.context_ids = std::move(ids.context);
  sample.question_ids = std::move(ids.question);
  for (const std::string& option : item.options) {
    sample.option_ids.push_back(form_.answer_ids(before, option));
  }
  const auto count = static_cast<uint64_t>(item.options.size());
  sample.guess_option =
      static_cast<int64_t>(uniform_below(hash_u64(seed_, static_cast<uint64_t>(index)), count));
  sample.guess = item.options[static_cast<size_t>(sample.guess_option)];
  sample.chance = 1.0 / static_cast<double>(count);
  return sample;
}

QaSource::QaSource(const EvalTaskConfig& task, const PromptForm& form)
    : seed_(task.seed), form_(form), items_(read_qa_file(task.questions)) {}

TaskSample QaSource::sample(int64_t index) {
  const QaItem& item = items_.at(static_cast<size_t>(index));
  TaskSample sample;
  sample.task = "qa";
  sample.trial = index;
  sample.scoring = Scoring::kQa;
  sample.answers = item.answers;
  PromptIds ids = form_.ids(item.context + "\n", "Question: " + item.question, kAnswerPrefix);
  sample.context_ids = std::move(ids.context);
  sample.question_ids = std::move(ids.question);
  sample.max_new_tokens = kQaTokens;
  for (const std::string& answer : item.answers) {
    const auto tokens = static_cast<int64_t>(form_.answer_ids(kAnswerPrefix, answer).size());
    sample.max_new_tokens = std::max(sample.max_new_tokens, tokens);
  }
  const uint64_t hash = hash_u64(seed_, static_cast<uint64_t>(index));
  if (size() > 1) {
    const auto step = 1 + uniform_below(hash, static_cast<uint64_t>(size() - 1));
    sample.guess = items_[(static_cast<size_t>(index) + step) % items_.size()].answers[0];
  }
  return sample;
}

}  // namespace lococo
