#include "bench/train_step.h"

#include <algorithm>
#include <optional>
#include <tuple>

#include "bench/hardware_limit.h"
#include "bench/timing.h"
#include "bench/trace.h"
#include "bench/training_setup.h"
#include "pass/sequence_pass.h"

namespace lococo {
namespace {

constexpr int64_t kTracedBlocks = 4;  // a trace of 64 blocks is too large to be opened

/// One batch size after the other on the same model.
class TrainStepBench {
 public:
  TrainStepBench(const Config& config, torch::Device device)
      : config_(config), device_(device), setup_(config, device) {
    if (is_blockwise(config)) {
      plan_ = make_step_plan(config.cache, config.data.context_length);
    } else {
      plan_ = {BlockStep{0, config.data.context_length}};
    }
  }

  /// Of a batch size: one case, when a memory is taught one for each number of slots.
  std::vector<BenchCase> measure(int64_t B) {
    if (resolved_pass(config_) != PassKind::kTeach) return {measure_case(B, std::nullopt)};
    std::vector<BenchCase> cases;
    const auto slots = config_.teach.slots;
    for (const int64_t taught : slots) {
      config_.teach.slots = {taught};
      cases.push_back(measure_case(B, taught));
    }
    config_.teach.slots = slots;
    return cases;
  }

  TraceSummary trace(int64_t B) {
    int64_t T = config_.data.context_length;
    if (is_blockwise(config_)) T = std::min(T, kTracedBlocks * config_.cache.block);
    const auto tokens_BT = setup_.random_tokens(B, T);
    const auto pass = make_pass(config_);
    pass->train(setup_.model(), {tokens_BT});
    const std::string what = "one training sequence of " + std::to_string(T) + " tokens, batch " +
                             std::to_string(B) + ", forward and backward";
    return record_trace(device_, config_.bench.trace, what,
                        [&] { pass->train(setup_.model(), {tokens_BT}); });
  }

 private:
  BenchCase measure_case(int64_t B, std::optional<int64_t> slots) {
    BenchCase measured;
    measured.parameters = {{"batch", B}, {"tokens", config_.data.context_length}};
    if (slots) measured.parameters.emplace_back("slots", *slots);
    measured.failure = setup_.or_out_of_memory([&] { measure_sequences(B, &measured); });
    if (measured.failure.empty() && config_.bench.limit)
      measured.failure = setup_.or_out_of_memory([&] { measure_limit(B, &measured); });
    return measured;
  }

  void measure_sequences(int64_t B, BenchCase* measured) {
    const BenchConfig& bench = config_.bench;
    const auto tokens_BT = setup_.random_tokens(B, config_.data.context_length);
    const auto pass = make_pass(config_);
    const auto run = [&] { pass->train(setup_.model(), {tokens_BT}); };
    // A rate of 0 does the same work and leaves the weights as they are.
    const auto update = [&] { setup_.optimizer().step(/*lr_factor=*/0.0); };
    setup_.optimizer().zero_grad();
    time_each(device_, bench.warmup, /*repeat=*/0, run);
    update();
    setup_.reset_peak();
    const auto sequence = spread_of(time_each(device_, /*warmup=*/0, bench.repeat, run));
    const auto step = spread_of(time_each(device_, /*warmup=*/0, bench.repeat, update));

    const auto blocks = static_cast<double>(plan_.size());
    const auto tokens = static_cast<double>(B * config_.data.context_length);
    block_seconds_ = sequence.median / blocks;
    measured->add(
        is_blockwise(config_) ? "block, forward and backward" : "sequence, forward and backward",
        "ms", scaled(sequence, 1e3 / blocks));
    measured->add("tokens per second", "tokens/s", tokens / sequence.median);
    measured->add("optimizer step", "ms", scaled(step, 1e3));
    setup_.add_peak(measured);
  }

  void measure_limit(int64_t B, BenchCase* measured) {
    LimitWork work;
    work.batch = B;
    work.step = typical_step();
    work.loss_rows = config_.train.loss_chunk;
    work.options = torch::dtype(setup_.model()->compute_dtype()).device(device_);
    work.conv_trained = setup_.trains(ParameterGroup::kConv);
    work.precision = config_.model.base_precision;
    work.base_trained = setup_.trains(ParameterGroup::kBase);
    const auto limit = measure_hardware_limit(setup_.model()->shape(), config_.cache, work);
    const auto rates = measure_machine_rates(work.options);
    const auto tokens = static_cast<double>(B * work.step.length());
    measured->add("limit", "ms", limit.total() * 1e3);
    measured->add("limit, tokens per second", "tokens/s", tokens / limit.total());
    measured->add("share of the limit", "%", 100 * limit.total() / block_seconds_);
    if (limit.conv_seconds > 0) {
      const double faster = limit.total_with_conv_at_gemm_rate();
      measured->add("limit, convolution at GEMM rate", "ms", faster * 1e3);
      measured->add("limit, convolution at GEMM rate, tokens per second", "tokens/s",
                    tokens / faster);
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

  /// A block in the middle of a long sequence: with a cache policy the first ones compress nothing
  /// and attend to less; without one the middle block attends to as much as the average.
  BlockStep typical_step() const {
    if (!config_.cache.compresses()) return plan_[plan_.size() / 2];
    const auto rank = [](const BlockStep& step) {
      return std::tuple(step.length(), step.compress, step.attended());
    };
    return *std::max_element(
        plan_.begin(), plan_.end(),
        [&](const BlockStep& a, const BlockStep& b) { return rank(a) < rank(b); });
  }

  Config config_;
  torch::Device device_;
  TrainingSetup setup_;
  std::vector<BlockStep> plan_;
  double block_seconds_ = 0.0;
};

}  // namespace

void bench_train_step(const Config& config, torch::Device device, Report& report) {
  TrainStepBench bench(config, device);
  for (const int64_t B : config.bench.batch) {
    for (const auto& measured : bench.measure(B)) report.add(measured);
  }
  if (!config.bench.trace.empty()) report.add(bench.trace(config.bench.batch.front()));
}

}  // namespace lococo
