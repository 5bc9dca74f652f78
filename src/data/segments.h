// Evaluation segments: which stretches of which documents are scored.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "data/token_file.h"

namespace lococo {

/// Inputs d[begin .. begin + length), targets d[begin + 1 .. begin + length + 1) of one document d.
struct Segment {
  int64_t document = 0;
  int64_t begin = 0;  ///< token index inside the document
  int64_t length = 0;
  int64_t source = 0;  ///< which of the files
};

/// For each document of each file in order the starts s = 0, stride, 2 stride, ... while
/// s + length + 1 <= len(document), at most `segments_per_document` of each (0: all), and of all
/// these the first max_tokens / length. `stride` 0: the length.
std::vector<Segment> make_segments(const std::vector<std::shared_ptr<const TokenFile>>& files,
                                   int64_t length, int64_t stride, int64_t segments_per_document,
                                   int64_t max_tokens);

/// LongLoRA's windows of `window` tokens (its eval.py): of each document the starts 0, 256, 512,
/// ... below len(document) - window, without the last of them. A segment is a window's window - 1
/// inputs and targets; of all the first max_tokens / window.
std::vector<Segment> make_longlora_segments(
    const std::vector<std::shared_ptr<const TokenFile>>& files, int64_t window, int64_t max_tokens);

/// The length + 1 tokens of a segment: inputs and the last target.
std::vector<int64_t> segment_tokens(const TokenFile& file, const Segment& segment);

}  // namespace lococo
