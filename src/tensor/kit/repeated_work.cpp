#include "tensor/kit/repeated_work.h"

namespace lococo {

void RepeatedWork::run(bool may_record, const std::function<void()>& work,
                       CapturedGraph::Pool pool) {
  if (!graph_.captured() && runs_ > 0 && may_record) graph_.capture(work, pool);
  if (graph_.captured()) {
    graph_.replay();
  } else if (may_record && pool != CapturedGraph::kSharedPool) {
    CapturedGraph::run_on_capture_stream(work);
  } else {
    work();
  }
  ++runs_;
}

}  // namespace lococo
