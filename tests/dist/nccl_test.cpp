// Several ranks, each on a GPU of its own, over NCCL.
#include <torch/cuda.h>

#include <cstdio>
#include <exception>

#include "core/error.h"
#include "dist/communicator_nccl.h"
#include "dist/stream_marks.h"
#include "tests/dist/check.h"
#include "tests/dist/collectives.h"
#include "tests/dist/sharding.h"

namespace {

constexpr int kSkipped = 4;  // as the other test programs

// What the stream has written is there once it has come so far, and not before it was asked to.
void check_marks(lococo::Communicator& communicator, torch::Device device) {
  lococo::StreamMarks marks(device);
  const auto place = [&] {
    torch::cuda::synchronize();
    return marks.read();
  };
  DIST_CHECK(place().reached == 0 && place().left == 0);
  for (int64_t number = 1; number <= 3; ++number) {
    DIST_CHECK(marks.reach() == number);
    DIST_CHECK(place().reached == number && place().left == number - 1);
    marks.leave(number);
    DIST_CHECK(place().reached == number && place().left == number);
  }
}

int run() {
  using namespace lococo;
  if (!built_with_nccl() || torch::cuda::device_count() < 2) {
    std::puts("skipped: needs NCCL and two GPUs");
    return kSkipped;
  }
  DistributedConfig config;
  config.device = "cuda";
  const ProcessRanks ranks = join_ranks(config);
  const torch::Device device = pick_device(config, ranks.local_rank);
  const auto owned = make_communicator(config, device);
  Communicator& communicator = *owned;
  DIST_CHECK(communicator.size() > 1);
  DIST_CHECK(device.index() == communicator.local_rank());
  for (int round = 0; round < 3; ++round) testing::check_collectives(communicator, device);
  testing::check_sharding(communicator, device);
  check_marks(communicator, device);
  if (communicator.is_main())
    std::printf("collectives and sharding over %lld GPUs: as they should be\n",
                static_cast<long long>(communicator.size()));
  return 0;
}

}  // namespace

int main() {
  try {
    return run();
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
