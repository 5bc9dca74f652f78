#include "eval/sample_stream.h"

#include <algorithm>
#include <utility>

namespace lococo {

SampleStream::SampleStream(const std::function<std::unique_ptr<TaskSource>()>& make_source,
                           int64_t threads, int64_t window, MadeSamples made)
    : window_(window), made_(std::move(made)) {
  for (int64_t i = 0; i < std::max<int64_t>(threads, 1); ++i) sources_.push_back(make_source());
  start();
}

SampleStream::~SampleStream() {
  for (auto& thread : threads_) {
    if (thread.valid()) thread.wait();  // not where next() has thrown what it threw
  }
}

/// Threads may be in it at once: none adds to made_, and no index is asked for twice.
TaskSample SampleStream::take(TaskSource& source, int64_t index) {
  const auto made = made_.find(index);
  return made == made_.end() ? source.sample(index) : std::move(made->second);
}

/// Thread i makes samples i, i + threads, ... of the window.
void SampleStream::start() {
  const int64_t count = std::min(window_, size() - begin_);
  making_.assign(static_cast<size_t>(std::max<int64_t>(count, 0)), TaskSample());
  threads_.clear();
  for (size_t first = 0; first < std::min(sources_.size(), making_.size()); ++first) {
    threads_.push_back(std::async(std::launch::async, [this, first] {
      for (size_t i = first; i < making_.size(); i += sources_.size())
        making_[i] = take(*sources_[first], begin_ + static_cast<int64_t>(i));
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
