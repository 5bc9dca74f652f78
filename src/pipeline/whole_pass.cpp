#include "pipeline/whole_pass.h"

#include <torch/csrc/autograd/autograd.h>

#include <deque>
#include <vector>

#include "pipeline/schedule.h"
#include "pipeline/sent.h"
#include "tensor/kit/torch.h"

namespace lococo {
namespace {

/// Batches on their way through one stage, each from its forward to its backward pass.
class WholeWork {
 public:
  WholeWork(Llama& model, Pipeline& pipeline, WholeRunner& runner, int64_t depth)
      : model_(model),
        pipeline_(pipeline),
        place_(pipeline.place()),
        runner_(runner),
        sent_on_(depth),
        sent_back_(depth) {}

  void forward(int64_t number, const Batch& batch) {
    const auto in = enter(batch.tokens_BT, /*with_gradient=*/true);
    auto out = runner_.train(model_, in, batch.documents);
    if (place_.is_last()) {
      const PassResult end = runner_.loss(model_, out, batch);
      out = end.loss_sum;
      results_.push_back({out.detach(), end.targets});
    } else {
      leave(number, out.detach());
      results_.push_back({torch::zeros({}, out.options().dtype(torch::kFloat32)), 0});
    }
    in_flight_.push_back({in, out});
  }

  /// Of the batch that went forward first of those in flight.
  void backward(int64_t number) {
    const InFlight batch = in_flight_.front();
    in_flight_.pop_front();
    auto gradient = place_.is_last() ? torch::Tensor()
                                     : torch::empty_like(batch.out, at::MemoryFormat::Contiguous);
    if (!place_.is_last()) pipeline_.receive_from_next(gradient)->wait();
    if (batch.out.requires_grad()) torch::autograd::backward({batch.out}, {gradient});
    if (place_.is_first()) return;
    sent_back_.wait(number);
    const auto& entering = batch.in.grad();  // undefined where no target reaches back
    const auto back =
        entering.defined() ? entering.contiguous() : torch::zeros_like(batch.in.detach());
    sent_back_.put(number, pipeline_.send_back(back), back);
  }

  torch::Tensor evaluate(const torch::Tensor& tokens_BT) {
    const auto out = runner_.evaluate(model_, enter(tokens_BT, /*with_gradient=*/false));
    if (place_.is_last()) return runner_.nll(model_, out, tokens_BT);
    leave(/*number=*/0, out);
    return {};
  }

  void finish() {
    sent_on_.wait_for_all();
    sent_back_.wait_for_all();
  }

  std::vector<PassResult> results() { return std::move(results_); }

 private:
  struct InFlight {
    torch::Tensor in, out;  ///< the graph's ends
  };

  torch::Tensor enter(const torch::Tensor& tokens_BT, bool with_gradient) {
    const auto tokens_BL = inputs_of(tokens_BT);
    if (place_.is_first()) return tokens_BL;
    auto hidden_BLE =
        torch::empty({tokens_BL.size(0), tokens_BL.size(1), model_->shape().hidden_size},
                     torch::dtype(model_->compute_dtype()).device(tokens_BT.device()));
    pipeline_.receive_from_before(hidden_BLE)->wait();
    return hidden_BLE.requires_grad_(with_gradient);
  }

  void leave(int64_t number, const torch::Tensor& hidden_BLE) {
    sent_on_.wait(number);
    const auto sent = hidden_BLE.contiguous();
    sent_on_.put(number, pipeline_.send_on(sent), sent);
  }

  Llama& model_;
  Pipeline& pipeline_;
  const GridPlace& place_;
  WholeRunner& runner_;
  Sent sent_on_, sent_back_;
  std::deque<InFlight> in_flight_;
  std::vector<PassResult> results_;
};

class WholePipelinePass : public SequencePass {
 public:
  WholePipelinePass(const WholeOptions& options, bool wants_kinds, Pipeline& pipeline)
      : pipeline_(pipeline),
        depth_(pipeline.place().stages - pipeline.place().stage),
        wants_kinds_(wants_kinds),
        runner_(options) {}

  bool wants_kinds() const override { return wants_kinds_; }

  PassResult train(Llama& model, const Batch& batch) override {
    return train_all(model, 1, [&](int64_t) { return batch; }).front();
  }

  std::vector<PassResult> train_all(Llama& model, int64_t count, const BatchAt& batch) override {
    WholeWork work(model, pipeline_, runner_, depth_);
    for (const Turn& turn : one_forward_one_backward(count, depth_)) {
      if (turn.forward) {
        work.forward(turn.block, batch(turn.block));
      } else {
        work.backward(turn.block);
      }
    }
    work.finish();
    return work.results();
  }

  /// While the next stage computes, this one takes the next batch: it waits no longer than until
  /// what it has sent was received.
  torch::Tensor evaluate(Llama& model, const torch::Tensor& tokens_BT) override {
    torch::NoGradGuard no_grad;
    WholeWork work(model, pipeline_, runner_, /*depth=*/1);
    const auto nll_BT = work.evaluate(tokens_BT);
    work.finish();
    return nll_BT;
  }

 private:
  Pipeline& pipeline_;
  int64_t depth_;
  bool wants_kinds_;
  WholeRunner runner_;
};

}  // namespace

std::unique_ptr<SequencePass> make_whole_pipeline_pass(const WholeOptions& options,
                                                       bool wants_kinds, Pipeline& pipeline) {
  return std::make_unique<WholePipelinePass>(options, wants_kinds, pipeline);
}

}  // namespace lococo
