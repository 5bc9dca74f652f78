// Work recorded once as a CUDA graph and replayed: thousands of launches become one.
#pragma once

#include <c10/core/Device.h>

#include <cstdint>
#include <functional>
#include <memory>

namespace lococo {

/// Rules for the work that is captured:
///   - it was run once before, so that libraries have chosen their kernels and made their handles;
///   - it reads and writes tensors that exist before the capture and outlive the graph: what it
///     allocates itself lies in memory that all graphs of a device share and is gone after a
///     replay;
///   - it never waits for the GPU and has no say in what it launches (no shape may depend on data);
///   - gradients it accumulates go into `.grad` tensors that exist already and stay where they are.
class CapturedGraph {
 public:
  /// Where work allocates. Works of one pool never run at the same time, and what one of them
  /// allocates is gone when the next one runs. `kSharedPool` serves all work that stands alone.
  /// Work that leaves tensors behind for a later one (a forward pass for its backward pass) shares
  /// a pool of its own with it alone: they take turns, and such a pair is captured, and run, in
  /// one go as far as this pool is concerned.
  using Pool = int;
  static constexpr Pool kSharedPool = 0;
  static constexpr Pool kMostPools = 65;

  CapturedGraph();
  ~CapturedGraph();
  CapturedGraph(CapturedGraph&&) noexcept;
  CapturedGraph& operator=(CapturedGraph&&) noexcept;

  /// Whether graphs exist for this device: true for CUDA devices of a CUDA build.
  static bool available(c10::Device device);

  /// Records `work` (autograd's backward pass included) without running it. Throws what `work`
  /// throws.
  void capture(const std::function<void()>& work, Pool pool = kSharedPool);

  /// Runs `work` as it is on the stream that captures use, in order with the current stream's work
  /// before and after. Autograd's nodes belong to the stream on which they were made, those that
  /// add up `.grad` for as long as any graph needs them: where a graph that was not captured
  /// outlives the start of a capture, its nodes must not be on a stream that captures may not
  /// touch.
  static void run_on_capture_stream(const std::function<void()>& work);
  bool captured() const { return graph_ != nullptr; }

  /// Runs the recorded work on the current stream; returns at once.
  void replay();

  /// What the allocator's own statistics do not tell, since the last reset_memory(); 0 without
  /// graphs. `working`: the most bytes that a graph replayed since uses while it runs, which are
  /// not counted again at a replay; of pools of their own those of all together. `peak`: the
  /// highest peak before a capture, which starts a new one in order to measure what the graph uses.
  struct Memory {
    int64_t working = 0;
    int64_t peak = 0;
  };
  static Memory memory();
  static void reset_memory();

 private:
  struct Graph;
  std::unique_ptr<Graph> graph_;
};

}  // namespace lococo
