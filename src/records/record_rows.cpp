#include "records/record_rows.h"

#include <algorithm>
#include <mutex>
#include <numeric>
#include <stdexcept>
#include <utility>

#include "core/hash.h"
#include "core/target_kind.h"
#include "data/mix_cycle.h"
#include "data/recent.h"
#include "data/repeats.h"
#include "records/packing.h"

namespace lococo {
namespace {

constexpr uint64_t kEpochDraw = 0x7265636F7264ull, kRowDraw = 0x726F7773ull;
constexpr int64_t kPackedAtOnce = 512, kGroupsAtOnce = 64;

struct Placed {
  size_t set = 0;
  size_t record = 0;
};
using Row = std::vector<Placed>;

std::vector<int64_t> shuffled_indices(int64_t count, uint64_t key) {
  std::vector<int64_t> indices(static_cast<size_t>(count));
  std::iota(indices.begin(), indices.end(), 0);
  return shuffled(std::move(indices), key);
}

}  // namespace

struct RecordRows::Impl {
  Impl(std::vector<RecordSet> given, const std::vector<double>& weights,
       const RecordRowOptions& given_options)
      : sets(std::move(given)), options(given_options), mix(weights), orders(sets.size()) {}

  Placed turn(int64_t index);
  Row records_of(int64_t index);
  int64_t length_of(const Placed& placed) const {
    return static_cast<int64_t>(record(placed).ids.size());
  }
  const TokenRecord& record(const Placed& placed) const {
    return sets[placed.set].records[placed.record];
  }
  std::vector<Placed> turns(int64_t begin, int64_t count);
  std::vector<Row> packed_chunk(int64_t chunk);
  std::vector<Row> grouped_chunk(int64_t chunk);
  RecordRow lay_out(const Row& row) const;
  void add_kinds(const TokenRecord& record, int64_t begin, RecordRow* row) const;

  std::vector<RecordSet> sets;
  RecordRowOptions options;
  MixCycle mix;
  std::mutex mutex;
  std::vector<Recent<int64_t, std::vector<int64_t>>> orders;  ///< of each set: by epoch
  Recent<int64_t, std::vector<Row>> chunks;
  std::vector<int64_t> rows_before = {0};  ///< each packed chunk
};

Placed RecordRows::Impl::turn(int64_t index) {
  const MixCycle::Turn turn = mix.turn(index);
  const auto set = static_cast<size_t>(turn.source);
  const int64_t size = sets[set].size(), epoch = turn.index / size;
  const auto& order = orders[set].get(epoch, [&] {
    return shuffled_indices(size,
                            hash_u64(options.seed, kEpochDraw, static_cast<uint64_t>(turn.source),
                                     static_cast<uint64_t>(epoch)));
  });
  return {set, static_cast<size_t>(order[static_cast<size_t>(turn.index % size)])};
}

std::vector<Placed> RecordRows::Impl::turns(int64_t begin, int64_t count) {
  std::vector<Placed> placed;
  for (int64_t i = begin; i < begin + count; ++i) placed.push_back(turn(i));
  return placed;
}

std::vector<Row> RecordRows::Impl::packed_chunk(int64_t chunk) {
  const auto placed = turns(chunk * kPackedAtOnce, kPackedAtOnce);
  std::vector<int64_t> lengths;
  for (const Placed& one : placed) lengths.push_back(length_of(one));
  const auto packed = pack_rows(lengths, options.context_length + 1, options.step);
  std::vector<Row> rows;
  const uint64_t key = hash_u64(options.seed, kRowDraw, static_cast<uint64_t>(chunk));
  for (const int64_t i : shuffled_indices(static_cast<int64_t>(packed.size()), key)) {
    Row row;
    for (const int64_t item : packed[static_cast<size_t>(i)])
      row.push_back(placed[static_cast<size_t>(item)]);
    rows.push_back(std::move(row));
  }
  return rows;
}

std::vector<Row> RecordRows::Impl::grouped_chunk(int64_t chunk) {
  const int64_t group = options.group, count = group * kGroupsAtOnce;
  auto placed = turns(chunk * count, count);
  std::stable_sort(placed.begin(), placed.end(),
                   [&](const Placed& a, const Placed& b) { return length_of(a) > length_of(b); });
  std::vector<Row> rows;
  const uint64_t key = hash_u64(options.seed, kRowDraw, static_cast<uint64_t>(chunk));
  for (const int64_t i : shuffled_indices(kGroupsAtOnce, key)) {
    for (int64_t j = 0; j < group; ++j)
      rows.push_back({placed[static_cast<size_t>(i * group + j)]});
  }
  return rows;
}

Row RecordRows::Impl::records_of(int64_t index) {
  const std::lock_guard<std::mutex> lock(mutex);
  if (options.packing) {
    // How many rows a chunk has is known when it is packed; a resumed run packs those before too.
    while (rows_before.back() <= index) {
      const auto chunk = static_cast<int64_t>(rows_before.size()) - 1;
      const auto& rows = chunks.get(chunk, [&] { return packed_chunk(chunk); });
      rows_before.push_back(rows_before.back() + static_cast<int64_t>(rows.size()));
    }
    const auto after = std::upper_bound(rows_before.begin(), rows_before.end(), index);
    const int64_t chunk = after - rows_before.begin() - 1;
    const auto& rows = chunks.get(chunk, [&] { return packed_chunk(chunk); });
    return rows[static_cast<size_t>(index - rows_before[static_cast<size_t>(chunk)])];
  }
  if (options.group_by_length && options.group > 1) {
    const int64_t size = options.group * kGroupsAtOnce, chunk = index / size;
    const auto& rows = chunks.get(chunk, [&] { return grouped_chunk(chunk); });
    return rows[static_cast<size_t>(index % size)];
  }
  return {turn(index)};
}

/// Of the targets that a record at `begin` has in the row.
void RecordRows::Impl::add_kinds(const TokenRecord& record, int64_t begin, RecordRow* row) const {
  const auto at = [&](int64_t token) -> uint8_t& {  // of the record's token, which is a target
    return row->kinds[static_cast<size_t>(begin + token - 1)];
  };
  const auto length = static_cast<int64_t>(record.ids.size());
  if (options.far > 0) {
    const std::vector<int64_t> ids(record.ids.begin(), record.ids.end());
    const auto repeats = classify_targets(ids.data(), length - 1, options.far);
    for (int64_t i = 1; i < length; ++i) {
      const bool is_far = repeats[static_cast<size_t>(i - 1)] == Repeat::kFar;
      at(i) = static_cast<uint8_t>(is_far ? TargetKind::kFar : TargetKind::kText);
    }
  }
  for (const TokenSpan& answer : record.answers) {
    for (int64_t i = std::max<int64_t>(answer.begin, 1); i < answer.end; ++i)
      at(i) = static_cast<uint8_t>(TargetKind::kAnswer);
  }
}

RecordRow RecordRows::Impl::lay_out(const Row& placed) const {
  RecordRow row;
  int64_t end = 0;  // of the last record
  std::vector<int64_t> begins;
  for (const Placed& one : placed) {
    begins.push_back(rounded_up(end, options.step));
    end = begins.back() + length_of(one);
  }
  // With several records, the last block of each is a whole one.
  const int64_t inputs =
      std::min(rounded_up(end - 1, options.step), std::max(end - 1, options.context_length));
  row.tokens.assign(static_cast<size_t>(inputs) + 1, options.filler);
  row.kinds.assign(static_cast<size_t>(inputs), static_cast<uint8_t>(TargetKind::kIgnored));
  for (size_t i = 0; i < placed.size(); ++i) {
    const TokenRecord& one = record(placed[i]);
    std::copy(one.ids.begin(), one.ids.end(), row.tokens.begin() + begins[i]);
    add_kinds(one, begins[i], &row);
    if (options.packing) {
      // Its last token is a target alone.
      const int64_t length = static_cast<int64_t>(one.ids.size()) - 1;
      row.documents.push_back(
          {begins[i], std::min(begins[i] + rounded_up(length, options.step), inputs)});
    }
  }
  return row;
}

RecordRows::RecordRows(std::vector<RecordSet> sets, const std::vector<double>& weights,
                       const RecordRowOptions& options)
    : impl_(std::make_unique<Impl>(std::move(sets), weights, options)) {
  if (impl_->sets.size() != weights.size() || options.step < 1 || options.group < 1)
    throw std::logic_error("a weight for each set of records, and steps of a token at least");
}

RecordRows::~RecordRows() = default;
RecordRows::RecordRows(RecordRows&&) noexcept = default;
RecordRows& RecordRows::operator=(RecordRows&&) noexcept = default;

RecordRow RecordRows::row(int64_t index) const { return impl_->lay_out(impl_->records_of(index)); }

std::string RecordRows::place(int64_t index) const {
  const Placed first = impl_->records_of(index).front();
  return impl_->sets[first.set].place(static_cast<int64_t>(first.record));
}

std::vector<uint64_t> RecordRows::fingerprints() const {
  std::vector<uint64_t> fingerprints;
  for (const RecordSet& set : impl_->sets) fingerprints.push_back(set.fingerprint());
  return fingerprints;
}

RecordCounts RecordRows::counts() const {
  RecordCounts counts;
  for (const RecordSet& set : impl_->sets) counts += set.counts;
  return counts;
}

}  // namespace lococo
