// The records of a file as tokens, held in memory.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "chat/transcript.h"
#include "config/data_config.h"
#include "records/fit_record.h"

namespace lococo {

/// What became of a file's records.
struct RecordCounts {
  int64_t read = 0;
  int64_t kept = 0;            ///< records that are trained on; parts count each
  int64_t dropped = 0;         ///< too long, and no way to make them fit
  int64_t truncated = 0;       ///< without the beginning of their documents
  int64_t split = 0;           ///< into several
  int64_t without_target = 0;  ///< left out
  int64_t tokens = 0;          ///< of those that are kept
  int64_t targets = 0;         ///< tokens of their answers, end tokens included

  RecordCounts& operator+=(const RecordCounts& more);
};

struct RecordSet {
  std::string path;
  std::vector<TokenRecord> records;  ///< 4 bytes a token
  std::vector<int64_t> lines;        ///< where each begins in the file
  RecordCounts counts;

  int64_t size() const { return static_cast<int64_t>(records.size()); }
  std::string place(int64_t record) const;  ///< "a.jsonl:17"
  uint64_t fingerprint() const;             ///< of tokens and answers
};

/// Targets of a record: tokens of its answers that have one before them.
int64_t num_targets(const TokenRecord& record);

/// Reads a file, tokenises it with `threads` threads (0: all cores), fits each record into `limit`
/// tokens and logs the counts in one line. Throws UserError as for_each_json_record and
/// record_messages do; for a record that is too long where `how` is error; and where none is left.
RecordSet read_records(const std::string& path, const TranscriptMaker& maker, TooLong how,
                       int64_t limit, int64_t threads);

}  // namespace lococo
