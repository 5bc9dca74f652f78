// What lococo-eval measures and asks. config/config.h says what all options have in common.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace lococo {

/// What lococo-eval measures; all but perplexity ask questions about long texts (src/tasks).
enum class EvalTask { kPerplexity, kPasskey, kNeedle, kRuler, kChoice, kQa, kManyShot };
/// Who answers a task's questions: the model, or a test of the task itself.
enum class Answerer { kModel, kOracle, kRandom };
/// What surrounds that which is asked: the texts of data.validation, one sentence repeated, or that
/// sentence exactly as LongLoRA's code has it.
enum class HayKind { kTexts, kFiller, kLongLora };
/// Whose templates, words and names the generator of questions takes; the parts do not overlap.
enum class QuestionSplit { kTrain, kValidation, kTest };

/// The questions of a task; eval.lengths are the tokens of their prompts.
struct EvalTaskConfig {
  EvalTask task = EvalTask::kPerplexity;
  int64_t trials = 20;  ///< questions of one cell: of a kind, length and depth
  uint64_t seed = 1;    ///< of everything that is drawn
  /// needle: digits, words, names, paraphrase, multikey; ruler: its tasks; empty: all.
  std::vector<std::string> kinds;
  /// Places of what is asked, in percent of the text; empty: at random in each trial.
  std::vector<int64_t> depths;
  HayKind hay = HayKind::kTexts;
  QuestionSplit split = QuestionSplit::kTest;
  int64_t distance = 0;     ///< tokens at least between what is asked and the question
  int64_t distractors = 0;  ///< other facts of the same form in the text
  std::string questions;    ///< JSONL of choice, qa and many_shot
  Answerer answerer = Answerer::kModel;
  std::string samples;  ///< JSONL of every prompt, answer and score; empty: none
};

/// What the queries of an evaluation see: everything before them, or what training lets them see.
enum class EvalPattern { kFull, kTraining };
/// Where an evaluation's segments begin: at eval.stride, or as LongLoRA's windows do.
enum class EvalWindows { kStride, kLongLora };

struct EvalConfig {
  EvalTaskConfig task;  ///< keys of section eval, like those below
  std::vector<int64_t> lengths = {4096};
  int64_t max_tokens = 1310720;       ///< per length: the first max_tokens / length segments
  int64_t stride = 0;                 ///< tokens between segment starts; 0: the length
  int64_t segments_per_document = 0;  ///< at most; 0: all
  EvalPattern pattern = EvalPattern::kFull;
  EvalWindows windows = EvalWindows::kStride;
  int64_t far = 1024;  ///< a repeat is far when its latest earlier occurrence is more tokens back
  std::string output;  ///< JSON file; empty: print only
  /// NLL of every target: .jsonl, or .bin (float32, segment after segment); empty: none.
  std::string per_token;
  bool overwrite = false;    ///< let what is written replace files that are no results of ours
  bool per_segment = false;  ///< write every segment's figures too
  /// Equal parts of a segment whose mean NLL is reported one by one; 0: none.
  int64_t position_buckets = 0;
  int64_t batch = 1;  ///< segments of one forward pass
  int64_t every = 0;  ///< lococo-train: steps between evaluations on data.validation; 0: never
  /// lococo-train: a short evaluation along the segment when the last step is done.
  bool after_training = true;
};

}  // namespace lococo
