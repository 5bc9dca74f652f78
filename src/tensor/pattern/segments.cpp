#include "tensor/pattern/segments.h"

#include <algorithm>

namespace lococo {

std::string segment_problem(const SegmentForm& form, const Documents& documents, int64_t B,
                            int64_t H, int64_t L) {
  if (form.group < 1) return "a segment has no tokens";
  if (form.sinks < 0) return "the number of sinks is negative";
  if (form.shifted_heads < 0 || form.shifted_heads > H)
    return std::to_string(form.shifted_heads) + " of " + std::to_string(H) + " heads are shifted";
  if (!documents.empty() && static_cast<int64_t>(documents.rows.size()) != B)
    return "there are documents for " + std::to_string(documents.rows.size()) + " of " +
           std::to_string(B) + " rows";
  for (const auto& row : documents.rows) {
    int64_t free = 0;  // where the next document may begin
    for (const TokenRange& document : row) {
      if (document.begin < free || document.length() < 1 || document.end > L) {
        return "document [" + std::to_string(document.begin) + ", " + std::to_string(document.end) +
               ") of a row of " + std::to_string(L) +
               " tokens is empty, overlaps or leaves the row";
      }
      free = document.end;
    }
  }
  return "";
}

std::vector<SegmentRun> segment_runs(const TokenRange& document, int64_t group, bool shifted) {
  std::vector<SegmentRun> runs;
  const auto add = [&](int64_t begin, int64_t count, int64_t length) {
    if (count > 0 && length > 0) runs.push_back({begin, count, length});
  };
  int64_t begin = document.begin;
  if (shifted) {
    const int64_t first = std::min(group / 2, document.length());
    add(begin, 1, first);
    begin += first;
  }
  const int64_t whole = (document.end - begin) / group;
  add(begin, whole, group);
  begin += whole * group;
  add(begin, 1, document.end - begin);
  return runs;
}

std::vector<HeadRun> head_runs(int64_t begin, int64_t end, int64_t group_size) {
  std::vector<HeadRun> runs;
  while (begin < end) {
    const int64_t kv_head = begin / group_size;
    const bool whole = begin % group_size == 0 && end - begin >= group_size;
    const int64_t kv_heads = whole ? (end - begin) / group_size : 1;
    const int64_t run_end =
        whole ? begin + kv_heads * group_size : std::min(end, (kv_head + 1) * group_size);
    runs.push_back({begin, run_end - begin, kv_head, kv_heads});
    begin = run_end;
  }
  return runs;
}

}  // namespace lococo
