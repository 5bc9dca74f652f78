// Which tokens of a row attention joins: documents that do not see each other, and within each the
// segments of S2-Attn (LongLoRA, arXiv 2309.12307) and the sinks of SF-Attn (SinkLoRA, arXiv
// 2406.05678). The one definition; free of tensors.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace lococo {

/// Tokens [begin, end) of a row.
struct TokenRange {
  int64_t begin = 0, end = 0;

  int64_t length() const { return end - begin; }
};

/// The documents that each row of a batch is packed with: ascending, not empty, without overlap. A
/// token outside all of them (padding, on either side) sees nothing and is seen by none. No rows:
/// every row is one document.
struct Documents {
  std::vector<std::vector<TokenRange>> rows;

  bool empty() const { return rows.empty(); }
};

/// The pattern, in heads and tokens. Token i of a document, counted from its begin, sees j <= i if
/// both lie in one segment or j < sinks. The first H - shifted_heads query heads have segments
/// [0, g), [g, 2g), ...; the others [0, g / 2), [g / 2, g / 2 + g), ...; the last one ends with the
/// document. No segment wraps around, so nothing sees a later token.
struct SegmentForm {
  int64_t group = 1;  ///< g, at least 1; the document's length or more: one segment
  int64_t shifted_heads = 0;
  int64_t sinks = 0;
};

/// Why a form or documents make no sense for B rows of L tokens and H query heads; empty when they
/// do.
std::string segment_problem(const SegmentForm& form, const Documents& documents, int64_t B,
                            int64_t H, int64_t L);

/// The number of the segment of token i, counted from its document's begin.
inline int64_t segment_of(int64_t i, int64_t group, bool shifted) {
  return shifted ? (i + group - group / 2) / group : i / group;
}

/// `count` neighbouring segments of `length` tokens each, the first of which begins at `begin`.
struct SegmentRun {
  int64_t begin = 0, count = 0, length = 0;

  int64_t end() const { return begin + count * length; }
};

/// The segments of a document from left to right, equal neighbours together: three runs at most.
std::vector<SegmentRun> segment_runs(const TokenRange& document, int64_t group, bool shifted);

/// Neighbouring query heads that share key-value heads evenly: each of the kv_heads from kv_head on
/// belongs to heads / kv_heads of them.
struct HeadRun {
  int64_t head = 0, heads = 0, kv_head = 0, kv_heads = 0;
};

/// Query heads [begin, end) of H as runs, of which each group of `group_size` = H / G heads shares
/// a key-value head: a group that the range cuts is a run of its own. Three runs at most.
std::vector<HeadRun> head_runs(int64_t begin, int64_t end, int64_t group_size);

}  // namespace lococo
