#include "eval/model_answerer.h"

#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "generate/continuation.h"

namespace lococo {
namespace {

int64_t count(const std::vector<int32_t>& ids) { return static_cast<int64_t>(ids.size()); }

/// Tokens that follow the context at most.
int64_t tokens_behind_context(const TaskSample& sample) {
  int64_t longest = sample.max_new_tokens;
  for (const auto& option : sample.option_ids) longest = std::max(longest, count(option));
  return count(sample.question_ids) + longest;
}

std::string before_first(const std::string& text, const std::vector<std::string>& stops) {
  size_t end = text.size();
  for (const std::string& stop : stops) end = std::min(end, text.find(stop));
  return text.substr(0, end);
}

/// Any figure made of these would mean nothing.
void check_finite(bool finite) {
  if (finite) return;
  throw UserError(
      "the logits behind a question are not finite: the model computes no numbers there; check the "
      "weights of model.path and model.adapter, or use model.dtype: float32");
}

int64_t rounded_up(int64_t value, int64_t step) { return (value + step - 1) / step * step; }

}  // namespace

ModelAnswerer::ModelAnswerer(Llama model, const Tokenizer& tokenizer, int64_t batch,
                             std::vector<int64_t> end_tokens, std::vector<std::string> stop_texts,
                             bool cuda_graphs, std::shared_ptr<StageLine> line)
    : model_(std::move(model)),
      tokenizer_(tokenizer),
      batch_(batch),
      end_tokens_(std::move(end_tokens)),
      stop_texts_(std::move(stop_texts)),
      cuda_graphs_(cuda_graphs),
      line_(std::move(line)),
      device_(model_->device()) {}

/// A decoder whose caches hold whatever these samples need; in steps, because a new one records its
/// work anew.
void ModelAnswerer::make_room(const std::vector<const TaskSample*>& samples) {
  int64_t behind = 0, all = 0;
  for (const TaskSample* sample : samples) {
    const int64_t mine = tokens_behind_context(*sample);
    behind = std::max(behind, mine);
    all = std::max(all, count(sample->context_ids) + mine);
  }
  constexpr int64_t kStep = 128;
  const auto B = static_cast<int64_t>(samples.size());
  const bool enough = decoder_ && options_.batch == B && options_.decode_buffer >= behind &&
                      options_.max_tokens >= all;
  if (enough) return;
  decoder_.reset();  // its memory first
  options_.batch = B;
  options_.decode_buffer = std::max(options_.decode_buffer, rounded_up(behind, kStep));
  options_.max_tokens = std::max(options_.max_tokens, rounded_up(all, kStep));
  options_.cuda_graphs = cuda_graphs_;
  decoder_ = std::make_unique<Decoder>(model_, options_, line_);
}

std::vector<torch::Tensor> ModelAnswerer::rows_of(const std::vector<const TaskSample*>& samples,
                                                  const Ids TaskSample::*ids) const {
  std::vector<torch::Tensor> rows;
  for (const TaskSample* sample : samples)
    rows.push_back(torch::tensor(sample->*ids, torch::kInt32).to(torch::kInt64).to(device_));
  return rows;
}

std::vector<TaskAnswer> ModelAnswerer::answer(const std::vector<const TaskSample*>& samples) {
  torch::NoGradGuard no_grad;
  TORCH_CHECK(!samples.empty() && static_cast<int64_t>(samples.size()) <= batch_, "want 1 to ",
              batch_, " samples, got ", samples.size());
  make_room(samples);
  decoder_->reset();
  decoder_->extend(rows_of(samples, &TaskSample::context_ids));
  decoder_->compress();
  const auto logits_BV = decoder_->append(rows_of(samples, &TaskSample::question_ids));
  check_finite(decoder_->shared(torch::isfinite(logits_BV).all()).item<bool>());
  std::vector<TaskAnswer> answers(samples.size());
  if (samples.front()->scoring == Scoring::kChoice) {
    weigh_options(samples, answers);
  } else {
    write_answers(samples, logits_BV, answers);
  }
  return answers;
}

void ModelAnswerer::write_answers(const std::vector<const TaskSample*>& samples,
                                  const torch::Tensor& logits_BV,
                                  std::vector<TaskAnswer>& answers) {
  GenerationOptions options;
  options.max_new_tokens = 1;
  for (const TaskSample* sample : samples)
    options.max_new_tokens = std::max(options.max_new_tokens, sample->max_new_tokens);
  options.end_tokens = end_tokens_;
  options.vocab_size = tokenizer_.vocab_size();
  Sampler sampler(options.sampling, decoder_->batch(), logits_BV.size(1), device_);
  const auto made_BT = decode(*decoder_, logits_BV, sampler, options).cpu();
  for (size_t row = 0; row < samples.size(); ++row) {
    const auto ids_T = made_BT[static_cast<int64_t>(row)].contiguous();
    const int64_t* ids = ids_T.const_data_ptr<int64_t>();
    const int64_t most = std::min(ids_T.numel(), samples[row]->max_new_tokens);
    const int64_t* end =
        std::find_first_of(ids, ids + most, end_tokens_.begin(), end_tokens_.end());
    answers[row].ids.assign(ids, end);
    answers[row].text = before_first(tokenizer_.decode(answers[row].ids), stop_texts_);
  }
}

void ModelAnswerer::weigh_options(const std::vector<const TaskSample*>& samples,
                                  std::vector<TaskAnswer>& answers) {
  size_t most = 0;
  for (const TaskSample* sample : samples) most = std::max(most, sample->option_ids.size());
  const auto asked = decoder_->save();
  for (size_t option = 0; option < most; ++option) {
    std::vector<Ids> ids;
    for (const TaskSample* sample : samples) {
      const bool has = option < sample->option_ids.size();
      ids.push_back(has ? sample->option_ids[option] : Ids());
    }
    if (option > 0) decoder_->restore(asked);
    const auto values = continuation_log_probabilities(*decoder_, asked.logits_BV, ids);
    for (size_t row = 0; row < samples.size(); ++row) {
      check_finite(std::isfinite(values[row]));
      if (option < samples[row]->option_ids.size())
        answers[row].option_log_likelihoods.push_back(values[row]);
    }
  }
}

}  // namespace lococo
