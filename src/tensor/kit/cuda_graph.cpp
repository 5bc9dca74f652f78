#include "tensor/kit/cuda_graph.h"

#include <torch/types.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <optional>

#ifdef LOCOCO_WITH_CUDA
#include <ATen/cuda/CUDAEvent.h>
#include <ATen/cuda/CUDAGraph.h>
#include <c10/cuda/CUDACachingAllocator.h>
#include <c10/cuda/CUDAFunctions.h>
#include <c10/cuda/CUDAGuard.h>

#endif

namespace lococo {

#ifdef LOCOCO_WITH_CUDA
namespace {

namespace allocator = c10::cuda::CUDACachingAllocator;
constexpr size_t kAll = static_cast<size_t>(c10::CachingAllocator::StatType::AGGREGATE);

constexpr CapturedGraph::Pool kMostPools = CapturedGraph::kMostPools;
std::array<std::atomic<int64_t>, kMostPools> most_working_bytes;  ///< of each pool
std::atomic<int64_t> highest_peak{0};
/// Of each pool: what a captured work has left behind for the next one.
std::array<std::atomic<int64_t>, kMostPools> left_behind;

void raise(std::atomic<int64_t>& highest, int64_t value) {
  highest = std::max<int64_t>(highest, value);
}

/// One stream for every capture of a device: cuBLAS keeps a workspace for each stream it has seen.
c10::cuda::CUDAStream capture_stream(c10::DeviceIndex device) {
  static std::array<std::optional<c10::cuda::CUDAStream>, C10_COMPILE_TIME_MAX_GPUS> streams;
  auto& stream = streams[static_cast<size_t>(device)];
  if (!stream) stream = c10::cuda::getStreamFromPool(/*isHighPriority=*/false, device);
  return *stream;
}

/// The allocator's pool of that number. A first graph that is never destroyed keeps it, because
/// workspaces of libraries that were made in it outlive the graphs.
at::cuda::MempoolId_t pool_of(c10::DeviceIndex device, CapturedGraph::Pool pool) {
  static std::array<std::array<at::cuda::CUDAGraph*, kMostPools>, C10_COMPILE_TIME_MAX_GPUS>
      keepers = {};
  auto& keeper = keepers[static_cast<size_t>(device)][static_cast<size_t>(pool)];
  if (keeper == nullptr) {
    keeper = new at::cuda::CUDAGraph();
    c10::cuda::CUDAStreamGuard on_stream(capture_stream(device));
    auto number = torch::zeros({1}, torch::device({torch::kCUDA, device}));
    keeper->capture_begin({0, 0}, cudaStreamCaptureModeThreadLocal);
    number.zero_();  // an empty graph draws a warning
    keeper->capture_end();
  }
  return keeper->pool();
}

/// A capture that an exception left open would keep the allocator in the pool.
void end_failed_capture(at::cuda::CUDAGraph& graph) {
  try {
    graph.capture_end();
  } catch (const std::exception&) {
    // The first exception tells more.
  }
}

}  // namespace

struct CapturedGraph::Graph {
  at::cuda::CUDAGraph graph;
  size_t pool = 0;
  int64_t bytes = 0;  ///< that the work allocates at one time, and what it found left behind
};

bool CapturedGraph::available(c10::Device device) { return device.is_cuda(); }

void CapturedGraph::run_on_capture_stream(const std::function<void()>& work) {
  const auto device = c10::cuda::current_device();
  const auto caller = c10::cuda::getCurrentCUDAStream(device);
  const auto stream = capture_stream(device);
  at::cuda::CUDAEvent before, after;
  before.record(caller);
  before.block(stream);
  {
    c10::cuda::CUDAStreamGuard on_stream(stream);
    work();
  }
  after.record(stream);
  after.block(caller);
}

void CapturedGraph::capture(const std::function<void()>& work, Pool pool_number) {
  TORCH_CHECK(pool_number >= 0 && pool_number < kMostPools, "no pool ", pool_number);
  const auto device = c10::cuda::current_device();
  auto graph = std::make_unique<Graph>();
  graph->pool = static_cast<size_t>(pool_number);
  const auto pool = pool_of(device, pool_number);
  c10::cuda::device_synchronize();
  // What the run before left in the allocator's cache would stay reserved beside the pool.
  allocator::emptyCache();
  const auto before = allocator::getDeviceStats(device).allocated_bytes[kAll];
  raise(highest_peak, before.peak);
  allocator::resetPeakStats(device);
  {
    c10::cuda::CUDAStreamGuard on_stream(capture_stream(device));
    // Backward nodes run on threads of autograd's own: only calls of this thread are checked.
    graph->graph.capture_begin(pool, cudaStreamCaptureModeThreadLocal);
    try {
      work();
    } catch (...) {
      end_failed_capture(graph->graph);
      throw;
    }
    graph->graph.capture_end();
  }
  const auto after = allocator::getDeviceStats(device).allocated_bytes[kAll];
  auto& left = left_behind[graph->pool];
  graph->bytes = after.peak - before.current + left;
  if (pool_number != kSharedPool)
    left = std::max<int64_t>(0, left + after.current - before.current);
  graph_ = std::move(graph);
}

void CapturedGraph::replay() {
  TORCH_CHECK(captured(), "nothing was captured");
  raise(most_working_bytes[graph_->pool], graph_->bytes);
  graph_->graph.replay();
}

CapturedGraph::Memory CapturedGraph::memory() {
  int64_t together = 0;
  for (size_t pool = kSharedPool + 1; pool < most_working_bytes.size(); ++pool)
    together += most_working_bytes[pool];
  return {std::max<int64_t>(most_working_bytes[kSharedPool], together), highest_peak};
}

void CapturedGraph::reset_memory() {
  for (auto& bytes : most_working_bytes) bytes = 0;
  highest_peak = 0;
}

#else

struct CapturedGraph::Graph {};

bool CapturedGraph::available(c10::Device) { return false; }

void CapturedGraph::capture(const std::function<void()>&, Pool) {
  TORCH_CHECK(false, "this build has no CUDA");
}

void CapturedGraph::run_on_capture_stream(const std::function<void()>&) {
  TORCH_CHECK(false, "this build has no CUDA");
}

void CapturedGraph::replay() { TORCH_CHECK(false, "this build has no CUDA"); }

CapturedGraph::Memory CapturedGraph::memory() { return {}; }

void CapturedGraph::reset_memory() {}

#endif

CapturedGraph::CapturedGraph() = default;
CapturedGraph::~CapturedGraph() = default;
CapturedGraph::CapturedGraph(CapturedGraph&&) noexcept = default;
CapturedGraph& CapturedGraph::operator=(CapturedGraph&&) noexcept = default;

}  // namespace lococo
