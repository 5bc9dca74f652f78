#include "records/fit_record.h"

#include <algorithm>
#include <stdexcept>

namespace lococo {
namespace {

constexpr int64_t kLeastShareOfPart = 8;

int64_t size_of(const Transcript& transcript) {
  return static_cast<int64_t>(transcript.ids.size());
}

/// Appends transcript tokens [begin, end) to a record.
void append(const Transcript& transcript, TokenSpan range, TokenRecord* record) {
  const auto at = static_cast<int64_t>(record->ids.size());
  record->ids.insert(record->ids.end(), transcript.ids.begin() + range.begin,
                     transcript.ids.begin() + range.end);
  for (const TokenSpan& answer : transcript.answers) {
    if (answer.begin >= range.begin && answer.end <= range.end)
      record->answers.push_back({answer.begin - range.begin + at, answer.end - range.begin + at});
  }
}

std::vector<TokenRecord> split(const Transcript& transcript, int64_t limit) {
  const TokenSpan document = transcript.document;
  const int64_t room = limit - (size_of(transcript) - document.length());
  if (document.length() <= 0 || room * kLeastShareOfPart < limit) return {};
  const int64_t parts = (document.length() + room - 1) / room;
  std::vector<TokenRecord> records;
  for (int64_t i = 0; i < parts; ++i) {
    const int64_t begin = document.begin + document.length() * i / parts;
    const int64_t end = document.begin + document.length() * (i + 1) / parts;
    TokenRecord record;
    append(transcript, {0, document.begin}, &record);
    append(transcript, {begin, end}, &record);
    append(transcript, {document.end, size_of(transcript)}, &record);
    records.push_back(std::move(record));
  }
  return records;
}

std::vector<TokenRecord> truncate_prompt(const Transcript& transcript, int64_t limit) {
  const int64_t excess = size_of(transcript) - limit;
  const int64_t begin = transcript.document.begin;
  // Some of what was asked must stay, or the answer would follow from nothing.
  if (begin + excess >= transcript.first_user_end) return {};
  return {without(transcript, {begin, begin + excess})};
}

}  // namespace

TokenRecord without(const Transcript& transcript, TokenSpan cut) {
  TokenRecord record;
  append(transcript, {0, cut.begin}, &record);
  append(transcript, {cut.end, size_of(transcript)}, &record);
  if (record.answers.size() != transcript.answers.size())
    throw std::logic_error("an answer is cut");
  return record;
}

std::vector<TokenRecord> fit_record(const Transcript& transcript, TooLong how, int64_t limit) {
  if (size_of(transcript) <= limit) return {{transcript.ids, transcript.answers}};
  switch (how) {
    case TooLong::kError:
    case TooLong::kDrop:
      return {};
    case TooLong::kTruncatePrompt:
      return truncate_prompt(transcript, limit);
    case TooLong::kSplit:
      return split(transcript, limit);
  }
  return {};
}

}  // namespace lococo
