#include "tokenizer/split_steps_json.h"

#include <string>
#include <utility>

#include "core/error.h"
#include "tokenizer/pattern_syntax.h"

namespace lococo {
namespace {

// Like Rust's char::is_numeric.
constexpr const char* kNumeric = "\\p{N}";

SplitBehavior read_behavior(const JsonPlace& place) {
  const std::string& name = place.text();
  if (name == "Isolated") return SplitBehavior::kIsolated;
  if (name == "Removed") return SplitBehavior::kRemoved;
  if (name == "MergedWithPrevious") return SplitBehavior::kMergedWithPrevious;
  if (name == "MergedWithNext") return SplitBehavior::kMergedWithNext;
  if (name == "Contiguous") return SplitBehavior::kContiguous;
  place.refuse("the behavior " + name + " is not known");
}

Pattern read_pattern(const JsonPlace& place) {
  try {
    if (place.has("String")) return Pattern(literal_pattern(place["String"].text()));
    if (place.has("Regex")) return Pattern(portable_pattern(place["Regex"].text()));
  } catch (const UserError& error) {
    place.refuse(error.what());
  }
  place.fail("is neither a Regex nor a String");
}

SplitStep read_split(const JsonPlace& place) {
  SplitStep step;
  step.pattern = read_pattern(place["pattern"]);
  step.behavior = read_behavior(place["behavior"]);
  step.invert = place["invert"].flag();
  return step;
}

SplitStep read_digits(const JsonPlace& place) {
  SplitStep step;
  step.pattern = Pattern(kNumeric);
  step.behavior =
      place["individual_digits"].flag() ? SplitBehavior::kIsolated : SplitBehavior::kContiguous;
  return step;
}

SplitStep read_byte_level(const JsonPlace& place) {
  SplitStep step;
  step.prefix_space = place["add_prefix_space"].flag();
  if (place["use_regex"].flag_or(true)) step.pattern = Pattern(portable_pattern(kByteLevelPattern));
  return step;
}

/// `done`: whether a step before has turned the text into bytes, after which none may follow.
void add_steps(const JsonPlace& place, std::vector<SplitStep>* steps, bool* done) {
  const std::string& type = place.type();
  if (type == "Sequence") {
    for (const JsonPlace& inner : place["pretokenizers"].elements()) add_steps(inner, steps, done);
    return;
  }
  if (*done) place.refuse("a pre-tokenizer " + type + " behind ByteLevel is not supported");
  if (type == "Split") {
    steps->push_back(read_split(place));
  } else if (type == "Digits") {
    steps->push_back(read_digits(place));
  } else if (type == "ByteLevel") {
    steps->push_back(read_byte_level(place));
    *done = true;
  } else {
    place.refuse("the pre-tokenizer " + type + " is not supported");
  }
}

}  // namespace

std::vector<SplitStep> read_split_steps(const JsonPlace& place) {
  std::vector<SplitStep> steps;
  bool bytes = false;
  if (!place.is_null()) add_steps(place, &steps, &bytes);
  if (!bytes) place.refuse("only byte-level BPE is supported, and there is no step ByteLevel");
  return steps;
}

}  // namespace lococo
