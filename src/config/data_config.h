// Texts and records: what training and evaluation read. config/config.h says what all options have
// in common.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace lococo {

enum class Sampling {
  /// Windows of context_length + 1 tokens at uniformly random starts of the joined documents.
  kRandomWindow,
  /// An epoch visits every document once in shuffled order, joined and cut without a gap.
  kPacked,
};

struct DataSource {
  /// Text file, JSONL (.jsonl, .jsonl.zst), folder of them, token file, or raw tokens (.bin).
  std::string path;
  double weight = 1.0;  ///< share of the sequences from this source, relative to the others
};

enum class RawTokenType { kNone, kUint16, kUint32 };

/// How a record's instruction or conversation becomes one text (docs/sft.md).
enum class RecordTemplate { kAuto, kPlain, kLlama2, kLlama3, kChatml, kLongLora };
/// What to do with a record that is longer than a sequence.
enum class TooLong { kError, kDrop, kTruncatePrompt, kSplit };

struct DataConfig {
  std::string tokenizer;  ///< SentencePiece or .json; empty: that of `model.path`
  std::vector<DataSource> train;
  std::vector<DataSource> validation;
  std::string cache_dir;  ///< where lococo-prepare puts token files; empty: beside the source
  RawTokenType raw_dtype = RawTokenType::kNone;  ///< element type of raw .bin token files
  std::string text_field = "text";               ///< key of a JSONL record that holds the text
  int64_t context_length = 4096;                 ///< tokens of a training sequence
  Sampling sampling = Sampling::kRandomWindow;
  int64_t min_document_tokens =
      0;                ///< shorter ones of `train` are left out (their number is printed)
  bool add_bos = true;  ///< a document is [BOS] + ids + [EOS]; BOS if there is one
  bool add_eos = true;
  double lesson_share = 0.0;  ///< of the sequences that are lessons (src/lessons)
  int64_t lesson_length = 0;  ///< tokens of a lesson; 0: context_length
  /// Texts, as paths of sources, in which lessons put what they ask; empty: those of `train`.
  std::vector<std::string> lesson_texts;
  int64_t far = 256;  ///< a target is far when its bigram came last more tokens before
  /// JSON and JSONL files of records with answers, to train on in place of `train`, and to
  /// evaluate.
  std::vector<DataSource> records;
  std::vector<DataSource> validation_records;
  RecordTemplate record_template = RecordTemplate::kAuto;
  TooLong on_too_long = TooLong::kError;
  bool packing = false;          ///< several records in one sequence, none seeing another
  bool group_by_length = false;  ///< records of like length in one micro-batch
};

}  // namespace lococo
