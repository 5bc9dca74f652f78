#include "pipeline/stage_line.h"

#include <exception>

#include "pipeline/sent.h"
#include "tensor/kit/torch.h"

namespace lococo {
namespace {

class PipelineLine : public StageLine {
 public:
  explicit PipelineLine(Pipeline& pipeline)
      : pipeline_(pipeline), sent_(kOnTheirWay), exceptions_(std::uncaught_exceptions()) {}
  ~PipelineLine() override {
    // With an exception on its way the next stage may never take what was sent.
    if (std::uncaught_exceptions() == exceptions_) sent_.wait_for_all();
  }
  PipelineLine(const PipelineLine&) = delete;
  PipelineLine& operator=(const PipelineLine&) = delete;

  void receive(torch::Tensor& hidden) override { pipeline_.receive_from_before(hidden)->wait(); }

  void send(const torch::Tensor& hidden) override {
    sent_.wait(number_);
    const auto copy = hidden.clone(at::MemoryFormat::Contiguous);
    sent_.put(number_++, pipeline_.send_on(copy), copy);
  }

  void share(torch::Tensor& tensor) override {
    pipeline_.stages().broadcast(tensor, pipeline_.place().stages - 1);
  }

  void meet() override { pipeline_.stages().barrier(); }

 private:
  /// While one block is sent the next one is computed.
  static constexpr int64_t kOnTheirWay = 2;

  Pipeline& pipeline_;
  Sent sent_;
  int exceptions_;  ///< on their way when this began
  int64_t number_ = 0;
};

}  // namespace

std::shared_ptr<StageLine> make_stage_line(Pipeline* pipeline) {
  return pipeline == nullptr ? nullptr : std::make_shared<PipelineLine>(*pipeline);
}

}  // namespace lococo
