#include "eval/sample_stream.h"

#include <algorithm>

namespace lococo {

SampleStream::SampleStream(const std::function<std::unique_ptr<TaskSource>()>& make_source,
                           int64_t threads, int64_t window)
    : window_(window) {
  for (int64_t i = 0; i < std::max<int64_t>(threads, 1); ++i) sources_.push_back(make_source());
  start();
}

SampleStream::~SampleStream() {
  for (auto& thread : threads_) {
    if (thread.valid()) thread.wait();  // not where next() has thrown what it threw
  }
}

/// Thread i makes samples i, i + threads, ... of the window.
void SampleStream::start() {
  const int64_t count = std::min(window_, size() - begin_);
  making_.assign(static_cast<size_t>(std::max<int64_t>(count, 0)), TaskSample());
  threads_.clear();
  for (size_t first = 0; first < std::min(sources_.size(), making_.size()); ++first) {
    threads_.push_back(std::async(std::launch::async, [this, first] {
      for (size_t i = first; i < making_.size(); i += sources_.size())
        making_[i] = sources_[first]->sample(begin_ + static_cast<int64_t>(i));
    }));
  }
}

std::vector<TaskSample> SampleStream::next() {
  for (auto& thread : threads_) thread.get();
  auto made = std::move(making_);
  begin_ += static_cast<int64_t>(made.size());
  start();
  return made;
}

}  // namespace lococo
