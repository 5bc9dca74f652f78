#include "tokenizer/pre_tokenizer.h"

#include <algorithm>
#include <cstdint>
#include <string>

namespace lococo {

const char* const kByteLevelPattern =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

namespace {

struct Piece {
  Span span;
  bool is_match = false;
};

using PieceSink = std::function<void(const Piece&)>;

size_t next_character(std::string_view text, size_t at) {
  ++at;
  while (at < text.size() && (static_cast<uint8_t>(text[at]) & 0xC0) == 0x80) ++at;
  return at;
}

/// The matches of a pattern and what is between them, in order; together they are the text. A match
/// of nothing counts unless it directly follows another match.
void for_each_piece(const Pattern& pattern, std::string_view text, const PieceSink& sink) {
  size_t done = 0;
  size_t from = 0;
  bool any = false;
  while (from <= text.size()) {
    const auto match = pattern.find(text, from);
    if (!match) break;
    if (match->begin == match->end) {
      from = match->end == text.size() ? match->end + 1 : next_character(text, match->end);
      if (any && match->end == done) continue;
    } else {
      from = match->end;
    }
    if (done < match->begin) sink({{done, match->begin}, false});
    sink({*match, true});
    done = match->end;
    any = true;
  }
  if (done < text.size()) sink({{done, text.size()}, false});
}

/// Joins pieces that belong together.
std::vector<Span> joined(std::vector<Piece> pieces, SplitBehavior behavior) {
  const bool backwards = behavior == SplitBehavior::kMergedWithNext;
  if (backwards) std::reverse(pieces.begin(), pieces.end());
  std::vector<Span> spans;
  bool after_match = false;
  for (const Piece& piece : pieces) {
    const bool joins = behavior == SplitBehavior::kContiguous ? piece.is_match == after_match
                                                              : piece.is_match && !after_match;
    if (joins && !spans.empty()) {
      if (backwards) {
        spans.back().begin = piece.span.begin;
      } else {
        spans.back().end = piece.span.end;
      }
    } else {
      spans.push_back(piece.span);
    }
    after_match = piece.is_match;
  }
  if (backwards) std::reverse(spans.begin(), spans.end());
  return spans;
}

void cut(const SplitStep& step, std::string_view text, const PreTokenizer::Sink& sink) {
  const auto give = [&](const Span& span) {
    if (span.begin < span.end) sink(text.substr(span.begin, span.end - span.begin));
  };
  if (step.behavior == SplitBehavior::kIsolated) {
    return for_each_piece(*step.pattern, text, [&](const Piece& piece) { give(piece.span); });
  }
  if (step.behavior == SplitBehavior::kRemoved) {
    return for_each_piece(*step.pattern, text, [&](const Piece& piece) {
      if (piece.is_match == step.invert) give(piece.span);
    });
  }
  std::vector<Piece> pieces;
  for_each_piece(*step.pattern, text, [&](Piece piece) {
    piece.is_match = piece.is_match != step.invert;
    pieces.push_back(piece);
  });
  for (const Span& span : joined(std::move(pieces), step.behavior)) give(span);
}

}  // namespace

void PreTokenizer::split_from(size_t step, std::string_view text, const Sink& sink) const {
  if (step == steps_.size()) return sink(text);
  const SplitStep& now = steps_[step];
  std::string with_space;
  if (now.prefix_space && !text.starts_with(' ')) {
    with_space.reserve(text.size() + 1);
    with_space += ' ';
    with_space += text;
    text = with_space;
  }
  if (!now.pattern) return split_from(step + 1, text, sink);
  if (step + 1 == steps_.size()) return cut(now, text, sink);
  cut(now, text, [&, step](std::string_view piece) { split_from(step + 1, piece, sink); });
}

}  // namespace lococo
