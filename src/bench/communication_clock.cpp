#include "bench/communication_clock.h"

#include <c10/core/Event.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include <exception>

#include "bench/timing.h"
#include "core/elapsed.h"

namespace lococo {
namespace {

double& part_of(CommunicationTime& time, WaitFor kind) {
  return kind == WaitFor::kMessage ? time.messages : time.collectives;
}

}  // namespace

/// Two places in the stream that is the current one at its making.
struct CommunicationClock::StreamInterval {
  StreamInterval(torch::Device device, WaitFor of)
      : kind(of),
        stream(c10::impl::VirtualGuardImpl(device.type()).getStream(device)),
        begin(device.type(), c10::EventFlag::BACKEND_DEFAULT),
        end(device.type(), c10::EventFlag::BACKEND_DEFAULT) {
    begin.record(stream);
  }

  WaitFor kind;
  c10::Stream stream;
  c10::Event begin, end;  ///< the flag keeps their times
};

class CommunicationClock::HostInterval {
 public:
  explicit HostInterval(double* seconds) : seconds_(seconds), begin_(steady_now()) {}
  ~HostInterval() { *seconds_ += seconds_since(begin_); }
  HostInterval(const HostInterval&) = delete;
  HostInterval& operator=(const HostInterval&) = delete;

 private:
  double* seconds_;
  SteadyTime begin_;
};

CommunicationClock::CommunicationClock(torch::Device device) : device_(device) {}
CommunicationClock::~CommunicationClock() = default;

std::shared_ptr<void> CommunicationClock::begin(const std::string& /*what*/,
                                                const std::vector<int>& ranks, WaitFor kind) {
  if (ranks.empty()) return nullptr;
  if (device_.is_cpu() || kind == WaitFor::kNumbers)
    return std::make_shared<HostInterval>(&part_of(on_host_, kind));
  on_stream_.push_back(std::make_shared<StreamInterval>(device_, kind));
  // Whoever holds this ends the interval, which is read later; not while an error is on its way,
  // which may be the GPU's.
  return {nullptr, [interval = on_stream_.back(), errors = std::uncaught_exceptions()](void*) {
            if (std::uncaught_exceptions() == errors) interval->end.record(interval->stream);
          }};
}

CommunicationTime CommunicationClock::take() {
  wait_for(device_);
  CommunicationTime time = on_host_;
  for (const auto& interval : on_stream_)
    part_of(time, interval->kind) += interval->begin.elapsedTime(interval->end) / 1e3;
  on_host_ = {};
  on_stream_.clear();
  return time;
}

}  // namespace lococo
