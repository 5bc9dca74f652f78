#include "records/record_rows.h"

#include <algorithm>
#include <map>
#include <set>

#include "core/files.h"
#include "core/target_kind.h"
#include "records/fit_record.h"
#include "records/packing.h"
#include "tests/support/byte_tokenizer.h"
#include "tests/support/catch.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/user_error.h"

using namespace lococo;
using namespace lococo::testing;

namespace {

const ByteTokenizer& byte_tokenizer() {
  static const ByteTokenizer tokenizer({"<s>", "</s>"});
  return tokenizer;
}

TranscriptMaker plain_maker() { return {usual_template(ChatFormat::kPlain, {}), byte_tokenizer()}; }

Transcript transcript_of(const std::string& user, size_t document_end) {
  return plain_maker().make(
      {{ChatRole::kUser, user, 0, document_end}, {ChatRole::kAssistant, "ANS"}});
}

std::string text_of(const TokenRecord& record) { return byte_tokenizer().decode(record.ids); }

/// `count` records of lengths that go from `shortest` upwards: token t of record r is 1000 r + t.
RecordSet numbered_records(int64_t count, int64_t shortest, const std::string& path = "a.jsonl") {
  RecordSet set;
  set.path = path;
  for (int64_t r = 0; r < count; ++r) {
    TokenRecord record;
    for (int64_t t = 0; t < shortest + r; ++t)
      record.ids.push_back(static_cast<int32_t>(1000 * (r + 1) + t));
    record.answers = {{shortest + r - 2, shortest + r}};
    set.records.push_back(record);
    set.lines.push_back(r + 1);
    set.counts.kept += 1;
  }
  return set;
}

RecordRows rows_of(const RecordRowOptions& options, int64_t count = 10, int64_t shortest = 4) {
  std::vector<RecordSet> sets;
  sets.push_back(numbered_records(count, shortest));
  return {std::move(sets), {1.0}, options};
}

/// Which record each of the row's tokens is of; 0: filler.
std::vector<int64_t> records_in(const RecordRow& row) {
  std::vector<int64_t> records;
  for (const int64_t token : row.tokens) {
    if (token >= 1000 && (records.empty() || records.back() != token / 1000))
      records.push_back(token / 1000);
  }
  return records;
}

}  // namespace

TEST_CASE("too long records lose the beginning of their documents, or are dropped", "[records]") {
  const auto transcript = transcript_of("document\nask?", 9);
  CHECK(transcript.ids.size() == 1 + 13 + 1 + 4);
  CHECK(fit_record(transcript, TooLong::kDrop, 18).empty());
  CHECK(fit_record(transcript, TooLong::kDrop, 19).size() == 1);
  const auto cut = fit_record(transcript, TooLong::kTruncatePrompt, 12);
  REQUIRE(cut.size() == 1);
  CHECK(text_of(cut[0]) == "<s>t\nask?\nANS</s>");
  CHECK(cut[0].answers == std::vector<TokenSpan>{{8, 12}});
  CHECK(text_of(fit_record(transcript, TooLong::kTruncatePrompt, 7).at(0)) == "<s>?\nANS</s>");
  CHECK(fit_record(transcript, TooLong::kTruncatePrompt, 6).empty());
}

TEST_CASE("a split record has its question and answer in every part", "[records]") {
  const auto transcript = transcript_of("documents\nask?", 10);
  const auto parts = fit_record(transcript, TooLong::kSplit, 15);  // 5 of the document
  REQUIRE(parts.size() == 2);
  CHECK(text_of(parts[0]) ==
        "<s>docum"
        "ask?\nANS</s>");
  CHECK(text_of(parts[1]) ==
        "<s>ents\n"
        "ask?\nANS</s>");
  CHECK(parts[1].answers == std::vector<TokenSpan>{{11, 15}});
  CHECK(fit_record(transcript, TooLong::kSplit, 14).size() == 3);
  CHECK(fit_record(transcript, TooLong::kSplit, 10).empty());  // question and answer fill it
  CHECK(fit_record(transcript_of("only a question?", 0), TooLong::kSplit, 12).empty());
}

TEST_CASE("rows are packed longest first into the first that has room", "[records]") {
  using Rows = std::vector<std::vector<int64_t>>;
  CHECK(pack_rows({3, 7, 4, 5, 2}, 10, 1) == Rows{{1, 0}, {3, 2}, {4}});
  CHECK(pack_rows({3, 7, 4, 5, 2}, 10, 4) == Rows{{1, 4}, {3}, {2, 0}});  // 7 takes 8, 5 takes 8
  CHECK(pack_rows({10}, 10, 4) == Rows{{0}});
}

TEST_CASE("each record comes once an epoch, in another order each time", "[records]") {
  RecordRowOptions options;
  options.context_length = 32;
  const auto rows = rows_of(options);
  std::vector<std::vector<int64_t>> epochs(3);
  for (int64_t i = 0; i < 30; ++i) {
    const auto row = rows.row(i);
    const auto inside = records_in(row);
    REQUIRE(inside.size() == 1);
    epochs[static_cast<size_t>(i / 10)].push_back(inside[0]);
    CHECK(row.documents.empty());
    CHECK(static_cast<int64_t>(row.tokens.size()) == 3 + inside[0]);
    CHECK(row.kinds.size() + 1 == row.tokens.size());
    // Two targets: the last two tokens.
    CHECK(std::count(row.kinds.begin(), row.kinds.end(), 3) == 2);
    CHECK(row.kinds.back() == 3);
    CHECK(std::count(row.kinds.begin(), row.kinds.end(), 0) ==
          static_cast<int64_t>(row.kinds.size()) - 2);
    CHECK(rows.place(i) == "a.jsonl:" + std::to_string(inside[0]));
  }
  CHECK(epochs[0] != epochs[1]);
  for (auto& epoch : epochs) {
    std::sort(epoch.begin(), epoch.end());
    CHECK(epoch == std::vector<int64_t>{1, 2, 3, 4, 5, 6, 7, 8, 9, 10});
  }
}

TEST_CASE("files are drawn from by their weights", "[records]") {
  std::vector<RecordSet> sets;
  sets.push_back(numbered_records(3, 4, "a.jsonl"));
  sets.push_back(numbered_records(5, 4, "b.jsonl"));
  RecordRowOptions options;
  const RecordRows rows(std::move(sets), {3.0, 1.0}, options);
  int64_t of_b = 0;
  for (int64_t i = 0; i < 400; ++i) of_b += rows.place(i).rfind("b.jsonl", 0) == 0;
  CHECK(of_b == 100);
  CHECK(rows.counts().kept == 8);
  CHECK(rows.fingerprints().size() == 2);
  CHECK(rows.fingerprints()[0] != rows.fingerprints()[1]);
}

TEST_CASE("rows of many files do not depend on what was drawn before", "[records]") {
  constexpr int64_t kFiles = 9, kRecords = 5, kRows = 4 * kFiles * kRecords;
  const auto open = [] {
    std::vector<RecordSet> sets;
    for (int64_t f = 0; f < kFiles; ++f)
      sets.push_back(numbered_records(kRecords, 4, std::to_string(f) + ".jsonl"));
    return RecordRows(std::move(sets), std::vector<double>(kFiles, 1.0), {});
  };
  const RecordRows forwards = open(), jumping = open();
  std::map<std::string, int64_t> seen;
  std::vector<std::string> places;
  for (int64_t i = 0; i < kRows; ++i) {
    places.push_back(forwards.place(i));
    ++seen[places.back()];
  }
  CHECK(seen.size() == kFiles * kRecords);
  for (const auto& [place, count] : seen) CHECK(count == 4);
  // 7 and the number of rows have no divisor in common: every row once, epochs mingled.
  for (int64_t i = 0; i < kRows; ++i) {
    const int64_t at = 7 * i % kRows;
    CHECK(jumping.place(at) == places[static_cast<size_t>(at)]);
  }
}

TEST_CASE("packed rows hold every record once, apart from each other", "[records]") {
  for (const int64_t step : {1, 8}) {
    INFO(step);
    RecordRowOptions options;
    options.context_length = 32;
    options.packing = true;
    options.step = step;
    const auto rows = rows_of(options, /*count=*/16);
    std::map<int64_t, int64_t> seen;
    int64_t records = 0, filled = 0, i = 0;
    for (; records < 512; ++i) {
      const auto row = rows.row(i);
      std::vector<int64_t> inside;
      for (const auto& range : row.documents)
        inside.push_back(row.tokens[static_cast<size_t>(range.begin)] / 1000);
      CHECK(static_cast<int64_t>(row.tokens.size()) <= 33);
      int64_t end = 0;
      for (size_t d = 0; d < inside.size(); ++d) {
        const auto& range = row.documents[d];
        const int64_t length = 3 + inside[d];
        CHECK(range.begin % step == 0);
        CHECK(range.begin >= end);
        CHECK(range.length() >= length - 1);
        CHECK(range.length() < length - 1 + step);
        for (int64_t t = 0; t < length; ++t) {
          const auto at = static_cast<size_t>(range.begin + t);
          CHECK(row.tokens[at] == 1000 * inside[d] + t);
          if (t > 0) CHECK(row.kinds[at - 1] == (t >= length - 2 ? 3 : 0));
        }
        end = range.end;
        ++seen[inside[d]];
        filled += length;
      }
      records += static_cast<int64_t>(inside.size());
    }
    CHECK(records == 512);  // a chunk ends with a row
    CHECK(seen.size() == 16);
    for (const auto& [record, count] : seen) CHECK(count == 32);
    if (step == 1) CHECK(filled > 33 * i * 9 / 10);
    const auto again = rows_of(options, 16);
    CHECK(again.row(i + 3).tokens == rows.row(i + 3).tokens);
    CHECK(again.row(1).tokens == rows.row(1).tokens);
  }
}

TEST_CASE("records of like length share a micro-batch", "[records]") {
  RecordRowOptions options;
  options.context_length = 64;
  options.group = 4;
  options.group_by_length = true;
  const auto rows = rows_of(options, /*count=*/40);
  std::multiset<int64_t> lengths;
  int64_t padding = 0;
  std::vector<int64_t> first_of_batches;
  for (int64_t batch = 0; batch < 64; ++batch) {
    int64_t longest = 0, sum = 0;
    for (int64_t j = 0; j < 4; ++j) {
      const auto length = static_cast<int64_t>(rows.row(4 * batch + j).tokens.size());
      longest = std::max(longest, length);
      sum += length;
      lengths.insert(length);
    }
    padding += 4 * longest - sum;
    first_of_batches.push_back(longest);
  }
  CHECK(padding < 100);
  CHECK_FALSE(std::is_sorted(first_of_batches.rbegin(), first_of_batches.rend()));
  for (int64_t length = 4; length < 44; ++length) CHECK(lengths.count(length) >= 6);
}

TEST_CASE("a file's records are counted, and one that is too long is named", "[records]") {
  TemporaryFolder folder;
  const std::string path = folder / "a.jsonl";
  write_text_file(path,
                  "{\"instruction\": \"ask?\", \"output\": \"yes\"}\n\n"
                  "{\"instruction\": \"a long document\\nask?\", \"output\": \"no\"}\n");
  const auto maker = plain_maker();
  const auto read = [&](TooLong how, int64_t limit) {
    return read_records(path, maker, how, limit, /*threads=*/2);
  };
  const auto all = read(TooLong::kError, 100);
  CHECK(all.counts.read == 2);
  CHECK(all.counts.kept == 2);
  CHECK(all.counts.targets == 4 + 3);
  CHECK(all.place(1) == path + ":3");
  CHECK_CONTAINS(user_error_of([&] { read(TooLong::kError, 15); }),
                 path + ":3: the record has 25 tokens, a sequence has room for 15");
  const auto dropped = read(TooLong::kDrop, 15);
  CHECK(dropped.counts.dropped == 1);
  CHECK(dropped.counts.kept == 1);
  CHECK(read(TooLong::kTruncatePrompt, 15).counts.truncated == 1);
  const auto split = read(TooLong::kSplit, 15);
  CHECK(split.counts.split == 1);
  CHECK(split.counts.kept == 1 + 3);
  CHECK_CONTAINS(user_error_of([&] { read(TooLong::kDrop, 5); }), "no record is left");
  CHECK(all.fingerprint() == read(TooLong::kDrop, 100).fingerprint());
  CHECK(all.fingerprint() != dropped.fingerprint());
}
