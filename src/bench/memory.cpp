#include "bench/memory.h"

#include "bench/training_setup.h"
#include "pass/sequence_pass.h"

namespace lococo {
namespace {

BenchCase measure(TrainingSetup& setup, const Config& config, int64_t B, int64_t T) {
  BenchCase measured;
  measured.parameters = {{"batch", B}, {"tokens", T}};
  measured.failure = setup.or_out_of_memory([&] {
    const auto pass = make_pass(config);
    const auto tokens_BT = setup.random_tokens(B, T);
    // Blocks that a sequence has once are recorded in the second one.
    for (int i = 0; i < 2; ++i) pass->train(setup.model(), {tokens_BT});
    setup.reset_peak();
    pass->train(setup.model(), {tokens_BT});
    setup.optimizer().step(/*lr_factor=*/0.0);
    setup.add_peak(&measured);
  });
  return measured;
}

}  // namespace

void bench_memory(const Config& config, torch::Device device, Report& report) {
  TrainingSetup setup(config, device);
  for (const int64_t B : config.bench.batch) {
    for (const int64_t T : config.bench.contexts) report.add(measure(setup, config, B, T));
  }
}

}  // namespace lococo
