#include <c10/core/CachingDeviceAllocator.h>
#include <torch/autograd.h>
#include <torch/cuda.h>

#include "bench/benchmarks.h"
#include "bench/hardware_limit.h"
#include "bench/timing.h"
#include "bench/trace.h"
#include "core/error.h"
#include "train/memory_stats.h"
#include "train/model_setup.h"
#include "train/optimizer.h"
#include "train/sequence_pass.h"

namespace lococo {
namespace {

constexpr double kGiB = 1024.0 * 1024.0 * 1024.0;
constexpr int64_t kTracedBlocks = 4;  // a trace of 64 blocks is too large to be opened

/// The model and optimizer as a trainer has them, and one batch size after the other.
class TrainStepBench {
 public:
  TrainStepBench(const Config& config, torch::Device device)
      : config_(config),
        device_(device),
        prepared_(prepare_model(config, device)),
        optimizer_(prepared_.registry->trainable(), config.train) {
    if (optimizer_.parameters().empty())
      throw UserError("tune: nothing is trained; give at least one group a learning rate");
    optimizer_.allocate_gradients();
    if (is_blockwise(config)) {
      plan_ = make_step_plan(config.cache, config.data.context_length);
    } else {
      plan_ = {BlockStep{0, config.data.context_length}};
    }
  }

  BenchCase measure(int64_t B) {
    BenchCase measured;
    measured.parameters = {{"batch", B}, {"tokens", config_.data.context_length}};
    try {
      measure_sequences(B, &measured);
      if (config_.bench.limit) measure_limit(B, &measured);
    } catch (const c10::OutOfMemoryError&) {
      measured.failure = "out of memory";
    }
    release_memory();
    return measured;
  }

  TraceSummary trace(int64_t B) {
    const int64_t T = is_blockwise(config_) ? std::min(config_.data.context_length,
                                                       kTracedBlocks * config_.cache.block)
                                            : config_.data.context_length;
    const auto tokens_BT = random_tokens(B, T);
    const auto pass = make_pass(config_);
    pass->train(prepared_.model, tokens_BT);
    const std::string what = "one training sequence of " + std::to_string(T) + " tokens, batch " +
                             std::to_string(B) + ", forward and backward";
    return record_trace(device_, config_.bench.trace, what,
                        [&] { pass->train(prepared_.model, tokens_BT); });
  }

 private:
  torch::Tensor random_tokens(int64_t B, int64_t T) const {
    return torch::randint(prepared_.model->shape().vocab_size, {B, T + 1},
                          torch::dtype(torch::kInt64).device(device_));
  }

  void measure_sequences(int64_t B, BenchCase* measured) {
    const BenchConfig& bench = config_.bench;
    const auto tokens_BT = random_tokens(B, config_.data.context_length);
    const auto pass = make_pass(config_);
    const auto run = [&] { pass->train(prepared_.model, tokens_BT); };
    time_each(device_, bench.warmup, /*repeat=*/0, run);
    optimizer_.step(/*lr_factor=*/0.0);
    wait_for(device_);
    reset_peak(device_);
    const auto sequence = spread_of(time_each(device_, /*warmup=*/0, bench.repeat, run));
    // A rate of 0 does the same work and leaves the weights as they are.
    const auto step = spread_of(time_each(device_, /*warmup=*/0, bench.repeat,
                                          [&] { optimizer_.step(/*lr_factor=*/0.0); }));
    const auto peak = static_cast<double>(peak_memory_bytes(device_));

    const auto blocks = static_cast<double>(plan_.size());
    const double tokens = static_cast<double>(B * config_.data.context_length);
    block_seconds_ = sequence.median / blocks;
    measured->add(
        is_blockwise(config_) ? "block, forward and backward" : "sequence, forward and backward",
        "ms", scaled(sequence, 1e3 / blocks));
    measured->add("tokens per second", "tokens/s", tokens / sequence.median);
    measured->add("optimizer step", "ms", scaled(step, 1e3));
    measured->add("peak memory", "GiB", peak / kGiB);
    measured->add("peak memory without optimizer state", "GiB", (peak - state_bytes()) / kGiB);
  }

  void measure_limit(int64_t B, BenchCase* measured) {
    release_memory();
    LimitWork work;
    work.batch = B;
    work.step = busiest_step();
    work.loss_rows = config_.train.loss_chunk;
    work.options = torch::dtype(prepared_.model->compute_dtype()).device(device_);
    for (const auto& parameter : optimizer_.parameters()) {
      work.conv_trained |= parameter.group == ParameterGroup::kConv;
      work.base_trained |= parameter.group == ParameterGroup::kBase;
    }
    const auto limit = measure_hardware_limit(prepared_.model->shape(), config_.cache, work);
    const auto rates = measure_machine_rates(work.options);
    const double tokens = static_cast<double>(B * work.step.length());
    measured->add("limit", "ms", limit.total() * 1e3);
    measured->add("limit, tokens per second", "tokens/s", tokens / limit.total());
    measured->add("share of the limit", "%", 100 * limit.total() / block_seconds_);
    if (limit.conv_seconds > 0) {
      const double faster = limit.total_with_conv_at_gemm_rate();
      measured->add("limit, convolution at GEMM rate", "ms", faster * 1e3);
      measured->add("share of that", "%", 100 * faster / block_seconds_);
      measured->add("limit: convolution of a layer", "ms", limit.conv_seconds * 1e3);
      measured->add("limit: convolution rate", "TFLOP/s",
                    limit.conv_flops / limit.conv_seconds / 1e12);
    }
    measured->add("limit: GEMMs of a layer", "ms", limit.gemm_seconds * 1e3);
    measured->add("limit: GEMM rate", "TFLOP/s", limit.gemm_rate() / 1e12);
    measured->add("limit: attention of a layer", "ms", limit.attention_seconds * 1e3);
    measured->add("limit: output head", "ms", limit.head_seconds * 1e3);
    measured->add("machine: square GEMM", "TFLOP/s", rates.gemm_flops_per_second / 1e12);
    measured->add("machine: copy", "TB/s", rates.copy_bytes_per_second / 1e12);
  }

  /// A block in the middle of a long sequence: the first ones compress nothing and attend to less.
  BlockStep busiest_step() const {
    BlockStep busiest = plan_.front();
    for (const BlockStep& step : plan_) {
      const bool fuller =
          step.length() == busiest.length() &&
          (step.compress > busiest.compress ||
           (step.compress == busiest.compress && step.attended() > busiest.attended()));
      if (fuller) busiest = step;
    }
    return busiest;
  }

  double state_bytes() const {
    double bytes = 0;
    for (const auto& [name, tensor] : optimizer_.state())
      bytes += static_cast<double>(tensor.nbytes());
    return bytes;
  }

  /// Gives cached memory back, so that the next measurement does not find it in pieces.
  void release_memory() const {
    if (device_.is_cuda()) at::getDeviceAllocator(device_.type())->emptyCache();
  }

  Config config_;
  torch::Device device_;
  PreparedModel prepared_;
  AdamW optimizer_;
  std::vector<BlockStep> plan_;
  double block_seconds_ = 0.0;
};

}  // namespace

void bench_train_step(const Config& config, torch::Device device, Report& report) {
  TrainStepBench bench(config, device);
  for (const int64_t B : config.bench.batch) report.add(bench.measure(B));
  if (!config.bench.trace.empty()) report.add(bench.trace(config.bench.batch.front()));
}

}  // namespace lococo
