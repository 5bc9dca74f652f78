// A model's answers to the questions of a task, its context compressed before it sees the question.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "decode/decoder.h"
#include "generate/generation.h"
#include "model/llama.h"
#include "tasks/task_sample.h"
#include "tokenizer/tokenizer.h"

namespace lococo {

/// Reads a sample's context in blocks and compresses the cache to cache.slots slots (where it holds
/// more), reads the question, and answers: greedily, or with the probability of each option. From
/// the question on nothing is compressed, so that every policy answers from the slots that it kept
/// when it did not know the question, from the question and from its own answer.
class ModelAnswerer {
 public:
  /// Answers up to `batch` samples at a time. Each of `end_tokens` ends an answer, and its text
  /// ends before the first of `stop_texts` too. References must outlive this. `line`: of a stage of
  /// several, which all answer the same samples.
  ModelAnswerer(Llama model, const Tokenizer& tokenizer, int64_t batch,
                std::vector<int64_t> end_tokens, std::vector<std::string> stop_texts,
                bool cuda_graphs, std::shared_ptr<StageLine> line = nullptr);

  /// One answer for each sample, at most `batch` of one scoring; best when their contexts are of
  /// one length; the same on all stages. Throws UserError where the model computes no numbers.
  std::vector<TaskAnswer> answer(const std::vector<const TaskSample*>& samples);

 private:
  using Ids = std::vector<int32_t>;
  void make_room(const std::vector<const TaskSample*>& samples);
  std::vector<torch::Tensor> rows_of(const std::vector<const TaskSample*>& samples,
                                     const Ids TaskSample::*ids) const;
  void write_answers(const std::vector<const TaskSample*>& samples, const torch::Tensor& logits_BV,
                     std::vector<TaskAnswer>& answers);
  void weigh_options(const std::vector<const TaskSample*>& samples,
                     std::vector<TaskAnswer>& answers);

  Llama model_;
  const Tokenizer& tokenizer_;
  int64_t batch_;
  std::vector<int64_t> end_tokens_;
  std::vector<std::string> stop_texts_;
  bool cuda_graphs_;
  std::shared_ptr<StageLine> line_;
  torch::Device device_;
  std::unique_ptr<Decoder> decoder_;
  DecoderOptions options_;  ///< of decoder_
};

}  // namespace lococo
