#include "bench/communication_clock.h"

#include <c10/core/impl/VirtualGuardImpl.h>

#include <algorithm>
#include <exception>

#include "bench/timing.h"

namespace lococo {
namespace {

double& part_of(CommunicationTime& time, WaitFor kind) {
  return kind == WaitFor::kMessage ? time.messages : time.collectives;
}

c10::Stream stream_of(torch::Device device) {
  return c10::impl::VirtualGuardImpl(device.type()).getStream(device);
}

/// One that keeps its time.
c10::Event timed_event(torch::Device device) {
  return {device.type(), c10::EventFlag::BACKEND_DEFAULT};
}

}  // namespace

CommunicationTime covered_time(std::vector<WaitInterval> intervals) {
  std::ranges::sort(intervals, {}, &WaitInterval::begin);
  CommunicationTime time;
  double covered = intervals.empty() ? 0 : intervals.front().begin;
  for (const WaitInterval& interval : intervals) {
    part_of(time, interval.kind) += std::max(0.0, interval.end - std::max(interval.begin, covered));
    covered = std::max(covered, interval.end);
  }
  return time;
}

/// Two places in the stream that is the current one at its making.
struct CommunicationClock::StreamInterval {
  StreamInterval(torch::Device device, WaitFor of)
      : kind(of), stream(stream_of(device)), begin(timed_event(device)), end(timed_event(device)) {
    begin.record(stream);
  }

  WaitFor kind;
  c10::Stream stream;
  c10::Event begin, end;
};

class CommunicationClock::HostInterval {
 public:
  HostInterval(CommunicationClock& clock, WaitFor kind)
      : clock_(clock), kind_(kind), begin_(steady_now()) {}
  ~HostInterval() {
    const SteadyTime start = clock_.started_;
    clock_.on_host_.push_back({seconds_between(start, begin_), seconds_since(start), kind_});
  }
  HostInterval(const HostInterval&) = delete;
  HostInterval& operator=(const HostInterval&) = delete;

 private:
  CommunicationClock& clock_;
  WaitFor kind_;
  SteadyTime begin_;
};

CommunicationClock::CommunicationClock(torch::Device device) : device_(device) { restart(); }
CommunicationClock::~CommunicationClock() = default;

std::shared_ptr<void> CommunicationClock::begin(const std::string& /*what*/,
                                                const std::vector<int>& ranks, WaitFor kind) {
  if (ranks.empty()) return nullptr;
  if (device_.is_cpu() || kind == WaitFor::kNumbers)
    return std::make_shared<HostInterval>(*this, kind);
  on_stream_.push_back(std::make_shared<StreamInterval>(device_, kind));
  // Whoever holds this ends the interval, which is read later; not while an error is on its way,
  // which may be the GPU's.
  return {nullptr, [interval = on_stream_.back(), errors = std::uncaught_exceptions()](void*) {
            if (std::uncaught_exceptions() == errors) interval->end.record(interval->stream);
          }};
}

CommunicationTime CommunicationClock::take() {
  wait_for(device_);
  std::vector<WaitInterval> waits = on_host_;
  const auto on_the_streams = [&](const c10::Event& event) {
    return started_on_stream_->elapsedTime(event) / 1e3;
  };
  for (const auto& interval : on_stream_) {
    waits.push_back(
        {on_the_streams(interval->begin), on_the_streams(interval->end), interval->kind});
  }
  restart();
  return covered_time(std::move(waits));
}

/// An idle GPU passes the event at once: there its clock and the host's show the same moment.
void CommunicationClock::restart() {
  on_host_.clear();
  on_stream_.clear();
  wait_for(device_);
  started_ = steady_now();
  if (device_.is_cpu()) return;
  started_on_stream_ = std::make_shared<c10::Event>(timed_event(device_));
  started_on_stream_->record(stream_of(device_));
}

}  // namespace lococo
