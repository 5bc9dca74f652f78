// Stages of one model that decode in one process, one after the other: what they send waits in
// memory.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <vector>

#include "decode/decoder.h"
#include "tensor/kit/torch.h"

namespace lococo::testing {

/// Between two neighbours, each of which has such a line of its own.
class WaitingLine : public StageLine {
 public:
  using Queue = std::shared_ptr<std::deque<torch::Tensor>>;
  WaitingLine(Queue before, Queue next) : before_(std::move(before)), next_(std::move(next)) {}

  void receive(torch::Tensor& hidden) override {
    TORCH_CHECK(!before_->empty(), "nothing has been sent");
    TORCH_CHECK(before_->front().sizes() == hidden.sizes(), "want ", hidden.sizes(), ", sent were ",
                before_->front().sizes());
    hidden.copy_(before_->front());
    before_->pop_front();
  }
  void send(const torch::Tensor& hidden) override { next_->push_back(hidden.clone()); }
  void share(torch::Tensor&) override {}
  void meet() override {}

 private:
  Queue before_, next_;
};

class StageDecoders {
 public:
  /// `layers` of each stage; together all of `whole`'s, whose weights the stages share.
  StageDecoders(Llama& whole, const std::vector<int64_t>& layers, const DecoderOptions& options) {
    const auto values = whole->named_parameters();
    LayerRange range = all_layers(whole->shape());
    range.end = 0;
    queues_.push_back(nullptr);
    for (const int64_t count : layers) {
      range.begin = range.end;
      range.end += count;
      Llama part(whole->shape(), range, whole->cache_config(), AttentionConfig(), 0);
      for (auto& item : part->named_parameters())
        item.value().set_data(values[item.key()].detach());
      part->set_compute_dtype(whole->compute_dtype());
      queues_.push_back(std::make_shared<std::deque<torch::Tensor>>());
      const size_t s = decoders_.size();
      decoders_.push_back(std::make_unique<Decoder>(
          part, options, std::make_shared<WaitingLine>(queues_[s], queues_[s + 1])));
    }
    TORCH_CHECK(range.end == range.all, "the stages have ", range.end, " layers");
  }

  /// What each stage does, the first one first; the last one's result.
  torch::Tensor run(const std::function<torch::Tensor(Decoder&)>& call) {
    torch::Tensor result;
    for (auto& decoder : decoders_) result = call(*decoder);
    for (const auto& queue : queues_) TORCH_CHECK(!queue || queue->empty(), "not all was received");
    return result;
  }

 private:
  std::vector<WaitingLine::Queue> queues_;  ///< before each stage, and behind the last
  std::vector<std::unique_ptr<Decoder>> decoders_;
};

}  // namespace lococo::testing
