#include "bench/patterns.h"

#include <memory>

#include "bench/timing.h"
#include "bench/training_setup.h"
#include "core/error.h"
#include "pass/sequence_pass.h"

namespace lococo {
namespace {

struct Contestant {
  std::string name;
  std::unique_ptr<SequencePass> pass;
  std::vector<double> seconds;
};

std::vector<Contestant> contestants(const Config& config) {
  std::vector<Contestant> all;
  for (const auto& [kind, name] :
       {std::pair(PatternKind::kFull, "full"), std::pair(PatternKind::kS2, "s2"),
        std::pair(PatternKind::kSf, "sf")}) {
    Config with = config;
    with.attention.pattern = kind;
    all.push_back({name, make_pass(with), {}});
  }
  return all;
}

BenchCase measure(TrainingSetup& setup, const Config& config, torch::Device device, int64_t B) {
  BenchCase measured;
  measured.parameters = {{"batch", B}, {"tokens", config.data.context_length}};
  measured.failure = setup.or_out_of_memory([&] {
    const auto tokens_BT = setup.random_tokens(B, config.data.context_length);
    auto all = contestants(config);
    const auto run = [&](Contestant& one, int64_t repeat) {
      return time_each(device, /*warmup=*/0, repeat,
                       [&] { one.pass->train(setup.model(), {tokens_BT}); });
    };
    for (Contestant& one : all) run(one, config.bench.warmup);
    // Side by side, so that a clock that falls slows all of them alike.
    for (int64_t i = 0; i < config.bench.repeat; ++i) {
      for (Contestant& one : all) one.seconds.push_back(run(one, 1).front());
    }
    const double full = spread_of(all.front().seconds).median;
    const auto tokens = static_cast<double>(B * config.data.context_length);
    for (Contestant& one : all) {
      const auto spread = spread_of(one.seconds);
      measured.add(one.name + ", forward and backward", "ms", scaled(spread, 1e3));
      measured.add(one.name + ", tokens per second", "tokens/s", tokens / spread.median);
      measured.add(one.name + ", times as fast as full", "x", full / spread.median);
    }
    for (Contestant& one : all) {
      setup.reset_peak();
      run(one, 1);
      BenchCase peak;
      setup.add_peak(&peak);
      measured.add(one.name + ", " + peak.figures.front().name, peak.figures.front().unit,
                   peak.figures.front().spread);
    }
  });
  return measured;
}

}  // namespace

void bench_patterns(const Config& config, torch::Device device, Report& report) {
  if (resolved_pass(config) != PassKind::kFullSequence) {
    throw UserError(
        "cache.policy: patterns of attention belong to whole sequences; use none, and train.pass "
        "auto");
  }
  TrainingSetup setup(config, device);
  for (const int64_t B : config.bench.batch) report.add(measure(setup, config, device, B));
}

}  // namespace lococo
