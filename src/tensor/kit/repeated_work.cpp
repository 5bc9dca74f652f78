#include "tensor/kit/repeated_work.h"

namespace lococo {

void RepeatedWork::run(bool may_record, const std::function<void()>& work) {
  if (!graph_.captured() && runs_ > 0 && may_record) graph_.capture(work);
  if (graph_.captured()) {
    graph_.replay();
  } else {
    work();
  }
  ++runs_;
}

}  // namespace lococo
