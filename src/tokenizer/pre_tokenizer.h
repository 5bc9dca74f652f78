// Cuts a text into the words that byte-pair encoding works on.
#pragma once

#include <functional>
#include <optional>
#include <string_view>
#include <vector>

#include "tokenizer/pattern.h"

namespace lococo {

/// What becomes of the matches of a pattern: the names of tokenizer.json.
enum class SplitBehavior { kIsolated, kRemoved, kMergedWithPrevious, kMergedWithNext, kContiguous };

/// One of the steps that follow each other; each works on the pieces of those before it.
struct SplitStep {
  bool prefix_space = false;       ///< first puts a space before a piece that begins with none
  std::optional<Pattern> pattern;  ///< then cuts it; without one it stays whole
  SplitBehavior behavior = SplitBehavior::kIsolated;
  bool invert = false;  ///< what is between the matches counts as match
};

/// The pattern of GPT-2, which ByteLevel has built in.
extern const char* const kByteLevelPattern;

/// May be used by several threads at once.
class PreTokenizer {
 public:
  explicit PreTokenizer(std::vector<SplitStep> steps) : steps_(std::move(steps)) {}

  using Sink = std::function<void(std::string_view)>;
  /// Calls `sink` with each word of `text` (valid UTF-8) in order; none of them is empty, and each
  /// lives only during the call.
  void split(std::string_view text, const Sink& sink) const { split_from(0, text, sink); }

 private:
  void split_from(size_t step, std::string_view text, const Sink& sink) const;

  std::vector<SplitStep> steps_;
};

}  // namespace lococo
