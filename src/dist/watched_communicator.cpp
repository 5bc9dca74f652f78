#include "dist/watched_communicator.h"

#include <utility>

#include "dist/activity.h"
#include "dist/observed_communicator.h"
#include "dist/rank_watch.h"
#include "dist/stream_marks.h"

namespace lococo {
namespace {

using Marks = std::shared_ptr<StreamMarks>;

/// With tensors of a GPU the host is through before the stream is.
struct Wait {
  Wait(const std::string& what, const std::vector<int>& ranks, StreamMarks* marks)
      : host(what, ranks), stream(marks, what, ranks) {}

  HostWait host;
  StreamWait stream;
};

class Watch : public WaitObserver {
 public:
  Watch(Communicator& world, int64_t timeout_s, Marks marks)
      : marks_(std::move(marks)), watch_(world, timeout_s, marks_) {}

  std::shared_ptr<void> begin(const std::string& what, const std::vector<int>& ranks,
                              WaitFor kind) override {
    if (ranks.empty()) return nullptr;
    return std::make_shared<Wait>(what, ranks, kind == WaitFor::kNumbers ? nullptr : marks_.get());
  }

 private:
  Marks marks_;  ///< null without a GPU
  RankWatch watch_;
};

}  // namespace

std::unique_ptr<Communicator> watch_ranks(std::unique_ptr<Communicator> world, int64_t timeout_s,
                                          torch::Device device) {
  if (world->size() == 1 || timeout_s == 0) return world;
  const Marks marks = device.is_cpu() ? nullptr : std::make_shared<StreamMarks>(device);
  auto watch = std::make_shared<Watch>(*world, timeout_s, marks);
  return observe_ranks(std::move(world), std::move(watch));
}

}  // namespace lococo
