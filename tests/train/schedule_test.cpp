#include <cmath>

#include "tests/support/catch.h"
#include "train/lr_schedule.h"

namespace lococo {
namespace {

TrainConfig schedule(Decay decay, int64_t steps, int64_t warmup, double final_fraction = 0.0) {
  TrainConfig config;
  config.decay = decay;
  config.steps = steps;
  config.warmup_steps = warmup;
  config.final_lr_fraction = final_fraction;
  return config;
}

}  // namespace

TEST_CASE("A linear schedule without warm-up goes from 1 to 1/N", "[train][schedule]") {
  const TrainConfig config = schedule(Decay::kLinear, 200, 0);
  CHECK(lr_factor(config, 0) == 1.0);
  CHECK(lr_factor(config, 50) == Approx(0.75));
  CHECK(lr_factor(config, 199) == Approx(1.0 / 200));
  CHECK(lr_factor(config, 200) == 0.0);
  CHECK(lr_factor(config, 1000) == 0.0);
}

TEST_CASE("A warm-up rises from 0 at step 0 to 1 at its last step's successor",
          "[train][schedule]") {
  for (Decay decay : {Decay::kConstant, Decay::kLinear, Decay::kCosine}) {
    const TrainConfig config = schedule(decay, 100, 10);
    CHECK(lr_factor(config, 0) == 0.0);
    CHECK(lr_factor(config, 5) == Approx(0.5));
    CHECK(lr_factor(config, 9) == Approx(0.9));
    CHECK(lr_factor(config, 10) == 1.0);
  }
}

// transformers 4.57: get_{constant,linear,cosine}_schedule_with_warmup(optimizer, 3, 10) from 1.0.
TEST_CASE("Schedules equal those of transformers", "[train][schedule]") {
  const std::vector<double> linear = {0,       1.0 / 3, 2.0 / 3, 1.0,     6.0 / 7,
                                      5.0 / 7, 4.0 / 7, 3.0 / 7, 2.0 / 7, 1.0 / 7};
  const std::vector<double> cosine = {0.0,
                                      0.3333333333333333,
                                      0.6666666666666666,
                                      1.0,
                                      0.9504844339512095,
                                      0.8117449009293668,
                                      0.6112604669781572,
                                      0.38873953302184283,
                                      0.1882550990706332,
                                      0.04951556604879043};
  for (int64_t step = 0; step < 10; ++step) {
    CHECK(lr_factor(schedule(Decay::kLinear, 10, 3), step) == Approx(linear[step]));
    CHECK(lr_factor(schedule(Decay::kCosine, 10, 3), step) == Approx(cosine[step]));
    CHECK(lr_factor(schedule(Decay::kConstant, 10, 3), step) ==
          Approx(step < 3 ? static_cast<double>(step) / 3.0 : 1.0));
  }
}

TEST_CASE("Decays end at the final fraction, fall all the way and stay there",
          "[train][schedule]") {
  for (Decay decay : {Decay::kLinear, Decay::kCosine}) {
    const TrainConfig config = schedule(decay, 40, 4, 0.1);
    for (int64_t step = 5; step <= 40; ++step) {
      CHECK(lr_factor(config, step) < lr_factor(config, step - 1));
    }
    CHECK(lr_factor(config, 40) == Approx(0.1));
    CHECK(lr_factor(config, 99) == Approx(0.1));
  }
}

TEST_CASE("A schedule that is all warm-up never divides by zero", "[train][schedule]") {
  const TrainConfig config = schedule(Decay::kCosine, 5, 5);
  for (int64_t step = 0; step < 5; ++step) {
    CHECK(lr_factor(config, step) == Approx(static_cast<double>(step) / 5.0));
  }
  CHECK(std::isfinite(lr_factor(config, 5)));
}

}  // namespace lococo
