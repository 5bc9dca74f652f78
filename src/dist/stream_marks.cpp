#include "dist/stream_marks.h"

#include <exception>

#include "tensor/kit/torch.h"

namespace lococo {

StreamMarks::StreamMarks(torch::Device device)
    : on_gpu_(torch::zeros({2}, torch::dtype(torch::kInt64).device(device))),
      on_host_(torch::zeros({2}, torch::dtype(torch::kInt64)).pin_memory()) {}

int64_t StreamMarks::reach() {
  mark(0, ++places_);
  return places_;
}

void StreamMarks::leave(int64_t number) { mark(1, number); }

void StreamMarks::mark(int64_t which, int64_t number) {
  const torch::NoGradGuard no_grad;
  torch::Tensor here = on_gpu_.select(0, which);
  here.fill_(number);
  on_host_.select(0, which).copy_(here, /*non_blocking=*/true);
}

// The GPU writes there at any time.
StreamPlace StreamMarks::read() const {
  const volatile int64_t* numbers = on_host_.data_ptr<int64_t>();
  return {numbers[0], numbers[1]};
}

StreamWait::StreamWait(StreamMarks* marks, const std::string& what, const std::vector<int>& ranks)
    : marks_(ranks.empty() ? nullptr : marks), exceptions_(std::uncaught_exceptions()) {
  if (marks_ == nullptr) return;
  number_ = marks_->reach();
  note_stream_wait(number_, what, ranks);
}

StreamWait::~StreamWait() {
  if (marks_ == nullptr || std::uncaught_exceptions() > exceptions_) return;
  marks_->leave(number_);
}

}  // namespace lococo
