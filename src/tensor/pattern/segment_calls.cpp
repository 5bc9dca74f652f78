#include "tensor/pattern/segment_calls.h"

#include <algorithm>
#include <utility>

namespace lococo {
namespace {

/// A kernel's backward pass is parallel over keys, of which sinks are few: their queries come in
/// rows of so many.
constexpr int64_t kSinkQueries = 1024;

/// What a call shares with the others of its document and heads.
struct Place {
  int64_t row = 0, rows = 0;
  HeadRun heads;
};

/// The queries from `begin` on to `end`, over the same sinks.
void add_sink_calls(const Place& place, int64_t begin, int64_t end, int64_t sinks,
                    int64_t sink_begin, std::vector<SegmentCall>* calls) {
  const int64_t whole = (end - begin) / kSinkQueries, rest = (end - begin) % kSinkQueries;
  const int64_t rest_begin = end - rest;
  if (whole > 0) {
    calls->push_back(
        {place.row, place.rows, place.heads, {begin, whole, kSinkQueries}, sinks, sink_begin});
  }
  if (rest > 0)
    calls->push_back(
        {place.row, place.rows, place.heads, {rest_begin, 1, rest}, sinks, sink_begin});
}

void add_calls(const SegmentForm& form, const TokenRange& document, bool shifted,
               const Place& place, std::vector<SegmentCall>* calls) {
  const auto runs = segment_runs(document, form.group, shifted);
  for (const SegmentRun& run : runs) calls->push_back({place.row, place.rows, place.heads, run});
  if (form.sinks == 0) return;
  // A query's segment may begin among the sinks: then it sees as many of them besides as come
  // before. From the first segment that begins behind all of them, all queries see the same.
  int64_t begin = runs.front().begin + runs.front().length;
  while (begin < document.end && begin - document.begin < form.sinks) {
    const int64_t end = std::min(document.end, begin + form.group);
    add_sink_calls(place, begin, end, begin - document.begin, document.begin, calls);
    begin = end;
  }
  if (begin < document.end)
    add_sink_calls(place, begin, document.end, form.sinks, document.begin, calls);
}

/// Whether all heads have the document in one segment, shifted or not.
bool is_one_segment(const SegmentForm& form, const TokenRange& document) {
  return document.length() <= (form.shifted_heads > 0 ? form.group / 2 : form.group);
}

}  // namespace

std::vector<SegmentCall> segment_calls(const SegmentForm& form, const Documents& documents,
                                       int64_t B, int64_t H, int64_t G, int64_t L) {
  std::vector<SegmentCall> calls;
  std::vector<std::pair<Place, TokenRange>> divided;  // into segments; all heads of each
  const auto place = [&](const TokenRange& document, int64_t row, int64_t rows) {
    const Place all = {row, rows, {0, H, 0, G}};
    if (is_one_segment(form, document)) {
      calls.push_back({row, rows, all.heads, {document.begin, 1, document.length()}});
    } else {
      divided.emplace_back(all, document);
    }
  };
  if (documents.empty()) place({0, L}, 0, B);
  for (size_t row = 0; row < documents.rows.size(); ++row) {
    for (const TokenRange& document : documents.rows[row])
      place(document, static_cast<int64_t>(row), 1);
  }
  const int64_t straight = H - form.shifted_heads;
  for (const bool shifted : {false, true}) {
    const auto heads = shifted ? head_runs(straight, H, H / G) : head_runs(0, straight, H / G);
    for (const HeadRun& run : heads) {
      for (const auto& [all, document] : divided)
        add_calls(form, document, shifted, {all.row, all.rows, run}, &calls);
    }
  }
  return calls;
}

torch::Tensor query_view(const torch::Tensor& x_BHLD, const SegmentCall& call) {
  const SegmentRun& run = call.queries;
  return x_BHLD.narrow(/*dim=*/0, call.row, call.rows)
      .narrow(/*dim=*/1, call.heads.head, call.heads.heads)
      .narrow(/*dim=*/2, run.begin, run.count * run.length)
      .unflatten(/*dim=*/2, {run.count, run.length})
      .transpose(1, 2);
}

torch::Tensor key_view(const torch::Tensor& x_BGLD, const SegmentCall& call) {
  const auto heads = x_BGLD.narrow(/*dim=*/0, call.row, call.rows)
                         .narrow(/*dim=*/1, call.heads.kv_head, call.heads.kv_heads);
  if (!call.causal())
    return heads.narrow(/*dim=*/2, call.sink_begin, call.sinks).unsqueeze(/*dim=*/1);
  const SegmentRun& run = call.queries;
  return heads.narrow(/*dim=*/2, run.begin, run.count * run.length)
      .unflatten(/*dim=*/2, {run.count, run.length})
      .transpose(1, 2);
}

}  // namespace lococo
