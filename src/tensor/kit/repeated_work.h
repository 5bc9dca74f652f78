// Work that is done many times on the same memory: recorded as a CUDA graph where that is possible.
#pragma once

#include <cstdint>
#include <functional>

#include "tensor/kit/cuda_graph.h"

namespace lococo {

class RepeatedWork {
 public:
  /// `work` must launch the same at every call and keep the rules of CapturedGraph. The first call
  /// runs it as it is, so that libraries make their choices; the second records it if it
  /// `may_record`; from then on the recording is replayed and `work` itself is not called. In a
  /// `pool` of its own (CapturedGraph) what may be recorded later runs on the recordings' stream
  /// from the beginning, since its autograd graph may meet theirs. Throws what `work` throws.
  void run(bool may_record, const std::function<void()>& work,
           CapturedGraph::Pool pool = CapturedGraph::kSharedPool);

  int64_t runs() const { return runs_; }

 private:
  int64_t runs_ = 0;
  CapturedGraph graph_;
};

}  // namespace lococo
