#include "tasks/ruler_tracking.h"

#include <algorithm>
#include <cmath>

#include "questions/facts.h"

namespace lococo {
namespace {

constexpr size_t kVariables = 5;  // of a chain of four hops
constexpr size_t kLetters = 5, kExampleLetters = 3;
constexpr int64_t kDigits = 5;
constexpr int64_t kExampleTokens = 500;
constexpr int64_t kNewTokens = 30;

std::vector<std::string> draw_variables(size_t letters, Draws* draws) {
  std::vector<std::string> variables;
  while (variables.size() < kVariables) {
    std::string name;
    while (name.size() < letters) name += static_cast<char>('A' + draws->below(26));
    if (std::find(variables.begin(), variables.end(), name) == variables.end()) {
      variables.push_back(name);
    }
  }
  return variables;
}

PromptText tracking_text(const std::vector<std::string>& variables, const std::string& value,
                         Draws* draws) {
  PromptText text;
  text.before =
      "The text below hides a chain of variable assignments. Follow it and remember the "
      "variables.\n\n";
  std::vector<double> depths(kVariables);
  for (double& depth : depths) depth = draws->uniform();
  std::sort(depths.begin(), depths.end());
  for (size_t v = 0; v < kVariables; ++v) {
    const std::string from = v == 0 ? value : "VAR " + variables[v - 1];
    text.inserts.push_back({"VAR " + variables[v] + " = " + from, depths[v], false});
  }
  text.question =
      "Question: Which variables have the value " + value + " according to the text above?";
  text.answer_prefix = "Answer: By the chain of variable assignments in the text above, " +
                       std::to_string(kVariables) + " variables have the value " + value +
                       ", namely:";
  return text;
}

}  // namespace

void make_variable_tracking(Draws* draws, PromptFitter* fitter, TaskSample* sample) {
  const auto example_variables = draw_variables(kExampleLetters, draws);
  const auto variables = draw_variables(kLetters, draws);
  const std::string example_value = draw_number(kDigits, draws);
  std::string value = draw_number(kDigits, draws);
  while (value == example_value) value = draw_number(kDigits, draws);

  const PromptText example = tracking_text(example_variables, example_value, draws);
  PromptText text = tracking_text(variables, value, draws);
  const int64_t room = std::min(kExampleTokens, sample->length / 4);
  // Filler always begins at its beginning: no place is drawn.
  const FittedPrompt fitted_example = fitter->fit(example, room, 0);
  text.before = example.before + fitted_example.context.substr(example.before.size()) +
                example.question + " " + example.answer_prefix + " " +
                joined(example_variables, " ") + "\n\n" + text.before;
  FittedPrompt fitted = fitter->fit(text, sample->length, 0);
  sample->context_ids = std::move(fitted.ids.context);
  sample->question_ids = std::move(fitted.ids.question);
  sample->answers = variables;
  sample->guess = joined(draw_variables(kLetters, draws), " ");
  sample->chance = std::pow(26.0, -static_cast<double>(kLetters));
  sample->max_new_tokens = kNewTokens;
}

}  // namespace lococo
