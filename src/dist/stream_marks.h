// How far the work of a GPU has come, without asking the GPU.
#pragma once

#include <torch/types.h>

#include "dist/activity.h"

namespace lococo {

/// Two numbers in host memory that the current stream writes as it passes: read at any time, by any
/// thread, with no call that a hung GPU could hold up. A mark is two launches of some microseconds.
class StreamMarks {
 public:
  /// `device`: a GPU.
  explicit StreamMarks(torch::Device device);

  /// The stream arrives here. The number of this place, from 1 on.
  int64_t reach();
  /// The stream has left the place of that number.
  void leave(int64_t number);

  StreamPlace read() const;

 private:
  void mark(int64_t which, int64_t number);

  torch::Tensor on_gpu_, on_host_;  ///< int64: the place reached last, the place left last
  int64_t places_ = 0;
};

/// From its making to its end the current stream waits in an operation for `ranks`. Nothing where
/// there are no `marks` or no ranks.
class StreamWait {
 public:
  StreamWait(StreamMarks* marks, const std::string& what, const std::vector<int>& ranks);
  ~StreamWait();
  StreamWait(const StreamWait&) = delete;
  StreamWait& operator=(const StreamWait&) = delete;

 private:
  StreamMarks* marks_;
  int64_t number_ = 0;
  int exceptions_;
};

}  // namespace lococo
