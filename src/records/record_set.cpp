#include "records/record_set.h"

#include <algorithm>
#include <cstdlib>
#include <future>
#include <nlohmann/json.hpp>
#include <thread>
#include <utility>

#include "core/error.h"
#include "core/hash.h"
#include "core/log.h"
#include "records/json_records.h"
#include "records/record_messages.h"

namespace lococo {
namespace {

/// Records that wait to be tokenised together: so much text is held at a time.
constexpr size_t kMostWaiting = 256;
constexpr size_t kMostBytesWaiting = size_t{64} << 20;

struct Waiting {
  std::vector<ChatMessage> messages;
  int64_t line = 0;
};

int64_t line_of(const std::string& place) {
  return std::atoll(place.c_str() + place.rfind(':') + 1);
}

class Reading {
 public:
  Reading(const TranscriptMaker& maker, TooLong how, int64_t limit, int64_t threads, RecordSet* set)
      : maker_(maker), how_(how), limit_(limit), set_(*set) {
    const auto cores = static_cast<int64_t>(std::max(1U, std::thread::hardware_concurrency()));
    threads_ = static_cast<size_t>(threads > 0 ? threads : cores);
  }

  void add(std::vector<ChatMessage> messages, int64_t line) {
    for (const auto& message : messages) bytes_ += message.content.size();
    waiting_.push_back({std::move(messages), line});
    if (waiting_.size() >= kMostWaiting || bytes_ >= kMostBytesWaiting) flush();
  }

  void flush() {
    std::vector<Transcript> transcripts(waiting_.size());
    const size_t threads = std::min(threads_, waiting_.size());
    std::vector<std::future<void>> workers;
    for (size_t t = 0; t < threads; ++t) {
      workers.push_back(std::async(std::launch::async, [&, t] {
        for (size_t i = t; i < waiting_.size(); i += threads)
          transcripts[i] = maker_.make(waiting_[i].messages);
      }));
    }
    for (auto& worker : workers) worker.get();
    for (size_t i = 0; i < waiting_.size(); ++i) take(transcripts[i], waiting_[i].line);
    waiting_.clear();
    bytes_ = 0;
  }

  /// The first record of those that were left out.
  int64_t first_left_out() const { return first_left_out_; }

 private:
  void take(const Transcript& transcript, int64_t line) {
    const auto length = static_cast<int64_t>(transcript.ids.size());
    const bool too_long = length > limit_;
    if (too_long && how_ == TooLong::kError) {
      throw UserError(set_.path + ":" + std::to_string(line) + ": the record has " +
                      std::to_string(length) + " tokens, a sequence has room for " +
                      std::to_string(limit_) +
                      " (data.context_length + 1); raise that, or say what to do in "
                      "data.on_too_long");
    }
    auto fitting = fit_record(transcript, how_, limit_);
    RecordCounts& counts = set_.counts;
    ++counts.read;
    if (fitting.empty()) {
      ++counts.dropped;
      left_out(line);
    } else if (too_long) {
      ++(how_ == TooLong::kSplit ? counts.split : counts.truncated);
    }
    for (TokenRecord& record : fitting) keep(std::move(record), line);
  }

  void keep(TokenRecord record, int64_t line) {
    RecordCounts& counts = set_.counts;
    const int64_t targets = num_targets(record);
    if (targets == 0) {
      ++counts.without_target;
      return left_out(line);
    }
    ++counts.kept;
    counts.tokens += static_cast<int64_t>(record.ids.size());
    counts.targets += targets;
    set_.records.push_back(std::move(record));
    set_.lines.push_back(line);
  }

  void left_out(int64_t line) {
    if (first_left_out_ == 0) first_left_out_ = line;
  }

  const TranscriptMaker& maker_;
  TooLong how_;
  int64_t limit_;
  size_t threads_;
  RecordSet& set_;
  std::vector<Waiting> waiting_;
  size_t bytes_ = 0;
  int64_t first_left_out_ = 0;
};

std::string describe(const RecordSet& set, int64_t first_left_out) {
  const RecordCounts& counts = set.counts;
  std::string text = set.path + ": " + std::to_string(counts.read) + " records read, " +
                     std::to_string(counts.kept) + " to train on";
  const auto add = [&](int64_t count, const char* what) {
    if (count > 0) text += ", " + std::to_string(count) + " " + what;
  };
  add(counts.truncated, "without the beginning of what they ask about");
  add(counts.split, "split");
  add(counts.dropped, "dropped for their length");
  add(counts.without_target, "left out for want of a target");
  if (first_left_out > 0) text += " (the first in line " + std::to_string(first_left_out) + ")";
  return text + "; " + std::to_string(counts.tokens) + " tokens, " +
         std::to_string(counts.targets) + " of them targets";
}

}  // namespace

RecordCounts& RecordCounts::operator+=(const RecordCounts& more) {
  read += more.read;
  kept += more.kept;
  dropped += more.dropped;
  truncated += more.truncated;
  split += more.split;
  without_target += more.without_target;
  tokens += more.tokens;
  targets += more.targets;
  return *this;
}

std::string RecordSet::place(int64_t record) const {
  return path + ":" + std::to_string(lines.at(static_cast<size_t>(record)));
}

uint64_t RecordSet::fingerprint() const {
  uint64_t hash = 0;
  for (const TokenRecord& record : records) {
    hash = hash_u64(hash, record.ids.size(), record.answers.size());
    for (const int32_t id : record.ids) hash = hash_u64(hash, static_cast<uint64_t>(id));
    for (const TokenSpan& answer : record.answers) {
      hash = hash_u64(hash, static_cast<uint64_t>(answer.begin), static_cast<uint64_t>(answer.end));
    }
  }
  return hash;
}

int64_t num_targets(const TokenRecord& record) {
  int64_t targets = 0;
  for (const TokenSpan& answer : record.answers)
    targets += answer.end - std::max<int64_t>(answer.begin, 1);
  return targets;
}

RecordSet read_records(const std::string& path, const TranscriptMaker& maker, TooLong how,
                       int64_t limit, int64_t threads) {
  RecordSet set;
  set.path = path;
  Reading reading(maker, how, limit, threads, &set);
  for_each_json_record(path, [&](const nlohmann::json& record, const std::string& place) {
    reading.add(record_messages(record, place), line_of(place));
  });
  reading.flush();
  const std::string line = describe(set, reading.first_left_out());
  if (set.records.empty()) throw UserError(line + ": no record is left");
  log_info(line);
  return set;
}

}  // namespace lococo
