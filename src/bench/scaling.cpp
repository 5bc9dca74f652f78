#include "bench/scaling.h"

#include <c10/core/CachingDeviceAllocator.h>

#include <cmath>
#include <map>
#include <numeric>
#include <utility>

#include "bench/communication_clock.h"
#include "bench/layout_training.h"
#include "bench/timing.h"
#include "core/elapsed.h"
#include "core/error.h"
#include "core/units.h"
#include "dist/observed_communicator.h"
#include "lococo/step_plan.h"
#include "setup/memory_check.h"
#include "setup/model_parts.h"
#include "setup/model_positions.h"
#include "setup/same_run.h"
#include "tensor/kit/memory_stats.h"

namespace lococo {
namespace {

constexpr const char* kNoRoom = "out of memory";

/// Of all ranks of a layout.
struct Steps {
  std::vector<double> seconds;  ///< of the slowest rank, one for each step
  CommunicationTime waits;      ///< of one step, the mean of steps and ranks
  double peak_bytes = 0;        ///< of the rank that needs the most
};

double largest_of(Communicator& group, double seconds) {
  return static_cast<double>(group.all_reduce_max_int(std::llround(seconds * 1e9))) / 1e9;
}

Steps time_steps(LayoutTraining& training, Communicator& group, CommunicationClock& clock,
                 const BenchConfig& bench, torch::Device device) {
  for (int64_t i = 0; i < bench.warmup; ++i) training.step();
  wait_for(device);
  reset_peak(device);
  Steps steps;
  std::vector<double> waits = {0, 0};
  for (int64_t i = 0; i < bench.repeat; ++i) {
    group.barrier();
    clock.take();
    const auto begin = steady_now();
    training.step();
    wait_for(device);
    const double seconds = seconds_since(begin);
    const CommunicationTime of_step = clock.take();
    waits[0] += of_step.collectives;
    waits[1] += of_step.messages;
    steps.seconds.push_back(largest_of(group, seconds));
  }
  std::vector<int64_t> none;
  group.all_reduce_sum_numbers(waits, none);
  const auto parts = static_cast<double>(bench.repeat * group.size());
  steps.waits = {waits[0] / parts, waits[1] / parts};
  steps.peak_bytes = static_cast<double>(group.all_reduce_max_int(peak_memory_bytes(device)));
  return steps;
}

class ScalingBench {
 public:
  ScalingBench(const Config& config, Session& session)
      : config_(config), world_(*session.communicator), device_(session.device) {}

  /// Nothing to say on ranks that take no part, or are not the first.
  BenchCase measure(const Layout& layout, int64_t sequences) {
    BenchCase measured;
    measured.parameters = {{"replicas", layout.replicas},
                           {"stages", layout.stages},
                           {"sequences", sequences},
                           {"tokens", config_.data.context_length}};
    const bool takes_part = world_.rank() < layout.ranks();
    auto group = world_.split(takes_part ? 0 : 1);
    if (takes_part) measure_in(std::move(group), layout, sequences, &measured);
    group.reset();
    if (device_.is_cuda()) at::getDeviceAllocator(device_.type())->emptyCache();
    world_.barrier();
    return measured;
  }

 private:
  void measure_in(std::unique_ptr<Communicator> ranks, const Layout& layout, int64_t sequences,
                  BenchCase* measured) {
    const auto clock = std::make_shared<CommunicationClock>(device_);
    const auto group = observe_ranks(std::move(ranks), clock);
    LayoutTraining training(config_of(config_, layout), layout, *group, device_);
    if (!all_load(training, *group, sequences)) {
      measured->failure = kNoRoom;
      return;
    }
    try {
      add(layout, sequences, time_steps(training, *group, *clock, config_.bench, device_),
          measured);
    } catch (const c10::OutOfMemoryError&) {
      if (group->size() > 1) throw;  // the others are in the middle of a step
      measured->failure = kNoRoom;
    }
  }

  static bool all_load(LayoutTraining& training, Communicator& group, int64_t sequences) {
    bool fits = true;
    try {
      training.load(sequences);
    } catch (const c10::OutOfMemoryError&) {
      fits = false;
    } catch (const NoRoomForWeights&) {
      fits = false;
    }
    return group.all_reduce_max_int(!fits) == 0;
  }

  void add(const Layout& layout, int64_t sequences, const Steps& steps, BenchCase* measured) {
    const Spread step = spread_of(steps.seconds);
    const double mean = std::accumulate(steps.seconds.begin(), steps.seconds.end(), 0.0) /
                        static_cast<double>(steps.seconds.size());
    const auto tokens =
        static_cast<double>(layout.replicas * sequences * config_.data.context_length);
    const double rate = tokens / step.median;
    measured->add("step", "ms", scaled(step, 1e3));
    measured->add("tokens per second", "tokens/s", rate);
    if (layout == Layout()) rate_of_one_[sequences] = rate;
    if (layout.ranks() > 1) {
      if (rate_of_one_.count(sequences) > 0) {
        measured->add("of as many times one rank", "%",
                      100 * rate / (rate_of_one_[sequences] * static_cast<double>(layout.ranks())));
      }
      measured->add("collectives", "ms", steps.waits.collectives * 1e3);
      if (layout.stages > 1) measured->add("messages", "ms", steps.waits.messages * 1e3);
      measured->add("communication, of the step", "%", 100 * steps.waits.total() / mean);
    }
    if (layout.stages > 1) {
      const auto fill = static_cast<double>(layout.stages - 1);
      measured->add("bubble, calculated", "%", 100 * fill / (pieces(sequences) + fill));
      measured->add("bubble, measured", "%", 100 * steps.waits.messages / mean);
    }
    measured->add("peak memory", "GiB", steps.peak_bytes / kGiB);
  }

  /// What goes through the stages one behind the other: the blocks of a micro-batch, or, of whole
  /// sequences, the micro-batches of a step.
  double pieces(int64_t sequences) const {
    const int64_t batch = config_.train.micro_batch;
    if (!is_blockwise(config_)) return static_cast<double>((sequences + batch - 1) / batch);
    return static_cast<double>(make_step_plan(config_.cache, config_.data.context_length).size());
  }

  const Config& config_;
  Communicator& world_;
  torch::Device device_;
  std::map<int64_t, double> rate_of_one_;  ///< tokens/s by batch, known to rank 0
};

/// Those of this run, each refused before anything is measured where it cannot work.
std::vector<Layout> checked_layouts(const Config& config, Communicator& world) {
  std::vector<Layout> layouts;
  run_alike(world, [&] {
    layouts = layouts_of(config.bench, world.size());
    const auto shape = effective_shape(config);
    for (const Layout& layout : layouts) stages_of(config_of(config, layout), shape);
  });
  return layouts;
}

}  // namespace

void bench_scaling(const Config& config, Session& session, Report* report) {
  check_same_config(config, *session.communicator);
  const auto layouts = checked_layouts(config, *session.communicator);
  ScalingBench bench(config, session);
  for (const int64_t sequences : config.bench.batch) {
    for (const Layout& layout : layouts) {
      const BenchCase measured = bench.measure(layout, sequences);
      if (report != nullptr) report->add(measured);
    }
  }
}

}  // namespace lococo
