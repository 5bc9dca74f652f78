#include "bench/communication_clock.h"

#include <chrono>
#include <thread>

#include "tests/support/catch.h"

namespace lococo {
namespace {

void wait_in(CommunicationClock& clock, const std::vector<int>& ranks, WaitFor kind) {
  const auto wait = clock.begin("a wait", ranks, kind);
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
}

}  // namespace

TEST_CASE("Waits are added up by their kind, and taken once", "[bench][clock]") {
  CommunicationClock clock(torch::kCPU);
  wait_in(clock, {1}, WaitFor::kTensors);
  wait_in(clock, {1}, WaitFor::kNumbers);
  wait_in(clock, {1}, WaitFor::kMessage);
  const CommunicationTime time = clock.take();
  CHECK(time.collectives >= 0.04);
  CHECK(time.messages >= 0.02);
  CHECK(time.total() == time.collectives + time.messages);
  CHECK(clock.take().total() == 0);
}

TEST_CASE("Nobody is waited for where there are no other ranks", "[bench][clock]") {
  CommunicationClock clock(torch::kCPU);
  wait_in(clock, {}, WaitFor::kTensors);
  CHECK(clock.take().total() == 0);
}

TEST_CASE("A moment in which two waits lie counts once", "[bench][clock]") {
  const auto time = covered_time({{4, 6, WaitFor::kMessage},    // reaches beyond the first
                                  {1, 5, WaitFor::kTensors},    //
                                  {2, 3, WaitFor::kNumbers},    // inside the first
                                  {7, 8, WaitFor::kNumbers},    // alone
                                  {8, 9, WaitFor::kMessage}});  // behind it
  CHECK(time.collectives == 4 + 1);
  CHECK(time.messages == 1 + 1);
  CHECK(covered_time({}).total() == 0);
}

TEST_CASE("A wait inside another adds nothing", "[bench][clock]") {
  CommunicationClock clock(torch::kCPU);
  const auto begin = steady_now();
  {
    const auto outer = clock.begin("a wait", {1}, WaitFor::kTensors);
    wait_in(clock, {1}, WaitFor::kMessage);
  }
  const double seconds = seconds_since(begin);
  const CommunicationTime time = clock.take();
  CHECK(time.collectives >= 0.02);
  CHECK(time.collectives <= seconds);
  CHECK(time.messages == 0);
}

}  // namespace lococo
