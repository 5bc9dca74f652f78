#include "tasks/ruler.h"

#include <algorithm>

#include "tasks/least_length.h"
#include "tasks/ruler_niah.h"
#include "tasks/ruler_tracking.h"
#include "tasks/ruler_words.h"

namespace lococo {
namespace {

const std::vector<std::string>& all_kinds() {
  static const std::vector<std::string> kinds = {"niah_single_1",
                                                 "niah_single_2",
                                                 "niah_multikey_1",
                                                 "niah_multivalue",
                                                 "niah_multiquery",
                                                 "vt",
                                                 "cwe",
                                                 "fwe"};
  return kinds;
}

bool is_in_texts(const std::string& kind) {
  return kind.starts_with("niah_") && kind != "niah_single_1";
}

}  // namespace

bool RulerSource::needs_texts(const EvalTaskConfig& task) {
  const auto& kinds = task.kinds.empty() ? all_kinds() : task.kinds;
  return std::any_of(kinds.begin(), kinds.end(), is_in_texts);
}

RulerSource::RulerSource(const EvalTaskConfig& task, const std::vector<int64_t>& lengths,
                         const Hay* texts, const PromptForm& form)
    : seed_(task.seed),
      split_(task.split),
      grid_(task, lengths, all_kinds(), /*with_depths=*/false),
      filler_(Hay::filler_lines()),
      in_filler_(filler_, form),
      in_texts_(texts == nullptr ? filler_ : *texts, form),
      costs_(form.tokenizer()) {}

TaskSample RulerSource::sample(int64_t index) {
  return with_room("ruler", grid_.sample(index), grid_.trials(),
                   [&](TaskSample cell) { return made(std::move(cell)); });
}

TaskSample RulerSource::made(TaskSample sample) {
  sample.scoring = Scoring::kContainsAll;
  Draws draws(hash_u64(seed_, static_cast<uint64_t>(sample.trial), hash_of_text(sample.kind)));
  if (is_in_texts(sample.kind)) {
    make_niah(split_, &draws, &in_texts_, &sample);
  } else if (sample.kind == "niah_single_1") {
    make_niah(split_, &draws, &in_filler_, &sample);
  } else if (sample.kind == "vt") {
    make_variable_tracking(&draws, &in_filler_, &sample);
  } else if (sample.kind == "cwe") {
    make_common_words(split_, in_filler_.form(), &costs_, &draws, &sample);
  } else {
    make_frequent_words(in_filler_.form(), &draws, &sample);
  }
  return sample;
}

}  // namespace lococo
