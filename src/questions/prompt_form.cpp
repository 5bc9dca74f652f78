#include "questions/prompt_form.h"

#include <algorithm>

namespace lococo {
namespace {

std::ptrdiff_t common_prefix(const std::vector<int32_t>& a, const std::vector<int32_t>& b) {
  return std::mismatch(a.begin(), a.end(), b.begin(), b.end()).first - a.begin();
}

}  // namespace

std::vector<int32_t> PromptForm::answer_ids(const std::string& answer_prefix,
                                            const std::string& answer) const {
  if (answer_prefix.empty()) return tokenizer().encode_ordinary(answer);
  const auto before = tokenizer().encode_ordinary(answer_prefix);
  const auto all = tokenizer().encode_ordinary(answer_prefix + " " + answer);
  // A tokenizer that joins the prefix's end with the answer has no ids that go on from there: those
  // of the answer alone are as near as it gets.
  if (common_prefix(before, all) != static_cast<std::ptrdiff_t>(before.size())) {
    return tokenizer().encode_ordinary(" " + answer);
  }
  return {all.begin() + static_cast<std::ptrdiff_t>(before.size()), all.end()};
}

PromptIds PlainForm::ids(const std::string& context, const std::string& question,
                         const std::string& answer_prefix) const {
  const std::string end = answer_prefix.empty() ? question : question + " " + answer_prefix;
  auto first = tokenizer_.encode_ordinary(context);
  auto all = end.empty() ? first : tokenizer_.encode_ordinary(context + end);
  const std::ptrdiff_t cut = common_prefix(first, all);
  PromptIds ids;
  if (tokenizer_.bos_id() >= 0) ids.context.push_back(tokenizer_.bos_id());
  ids.context.insert(ids.context.end(), all.begin(), all.begin() + cut);
  ids.question.assign(all.begin() + cut, all.end());
  return ids;
}

}  // namespace lococo
