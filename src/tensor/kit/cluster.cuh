// Thread block clusters: blocks that run at the same time on neighbouring processors and write into
// each other's shared memory. And the copy of neighbouring bytes from global into shared memory
// that one thread asks for. Compute capability 9.0 on.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "tensor/kit/shared_address.cuh"

namespace lococo::hopper {

/// This thread of the block has started; what it wrote is not made visible by this. Whole warps at
/// a time, every one once.
__device__ __forceinline__ void cluster_arrive() {
  asm volatile("barrier.cluster.arrive.relaxed.aligned;" ::: "memory");
}

/// Until all threads of the cluster have arrived. Barriers that they had initialised before, with
/// barrier_init_fence(), can be used then. Empties the processor's first-level cache.
__device__ __forceinline__ void cluster_wait() {
  asm volatile("barrier.cluster.wait.acquire.aligned;" ::: "memory");
}

/// What `address` is in the block of that rank in the cluster.
__device__ __forceinline__ uint32_t in_block(uint32_t address, int rank) {
  uint32_t there;
  asm volatile("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(there) : "r"(address), "r"(rank));
  return there;
}

/// Writes 16 bytes to another block and then counts them at its barrier, where that block waits for
/// them with barrier_wait(); both addresses are in_block().
__device__ __forceinline__ void send4(uint32_t to, const float (&values)[4], uint32_t barrier) {
  asm volatile(
      "st.async.weak.shared::cluster.mbarrier::complete_tx::bytes.v4.f32 [%0], {%1, %2, %3, %4}, "
      "[%5];" ::"r"(to),
      "f"(values[0]), "f"(values[1]), "f"(values[2]), "f"(values[3]), "r"(barrier)
      : "memory");
}

/// The same, 8 bytes.
__device__ __forceinline__ void send2(uint32_t to, float first, float second, uint32_t barrier) {
  asm volatile(
      "st.async.weak.shared::cluster.mbarrier::complete_tx::bytes.v2.f32 [%0], {%1, %2}, "
      "[%3];" ::"r"(to),
      "f"(first), "f"(second), "r"(barrier)
      : "memory");
}

/// Copies `bytes` bytes to shared memory and then counts them at the barrier. All three are
/// multiples of 16 bytes.
__device__ __forceinline__ void load_bytes(void* to, const void* from, uint32_t bytes,
                                           uint32_t barrier) {
  asm volatile(
      "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::
          "r"(shared_address(to)),
      "l"(__cvta_generic_to_global(from)), "r"(bytes), "r"(barrier)
      : "memory");
}

/// Between this thread's writes to shared memory and copies to the same place that another thread
/// asks for after a barrier of the block.
__device__ __forceinline__ void before_copies() {
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}

/// How to launch a grid (a multiple of `cluster` blocks) in clusters of neighbouring blocks, as
/// launch_dependent() does if `overlap`. Can be captured.
class ClusterLaunch {
 public:
  ClusterLaunch(int cluster, int blocks, int threads, size_t shared_bytes, cudaStream_t stream,
                bool overlap) {
    attributes_[0].id = cudaLaunchAttributeClusterDimension;
    attributes_[0].val.clusterDim.x = static_cast<unsigned>(cluster);
    attributes_[0].val.clusterDim.y = attributes_[0].val.clusterDim.z = 1;
    attributes_[1].id = cudaLaunchAttributeProgrammaticStreamSerialization;
    attributes_[1].val.programmaticStreamSerializationAllowed = 1;
    config_.gridDim = dim3(static_cast<unsigned>(blocks));
    config_.blockDim = dim3(static_cast<unsigned>(threads));
    config_.dynamicSmemBytes = shared_bytes;
    config_.stream = stream;
    config_.attrs = attributes_;
    config_.numAttrs = overlap ? 2 : 1;
  }
  ClusterLaunch(const ClusterLaunch&) = delete;
  ClusterLaunch& operator=(const ClusterLaunch&) = delete;

  template <typename... Parameters, typename... Arguments>
  void run(void (*kernel)(Parameters...), const Arguments&... arguments) const {
    cudaLaunchKernelEx(&config_, kernel, arguments...);
  }

  /// Clusters that the device holds at a time; 0 where it has none of that size.
  template <typename... Parameters>
  int fitting(void (*kernel)(Parameters...)) const {
    int clusters = 0;
    const auto error = cudaOccupancyMaxActiveClusters(&clusters, kernel, &config_);
    if (error == cudaSuccess) return clusters;
    cudaGetLastError();  // an answer, not a fault
    return 0;
  }

 private:
  cudaLaunchAttribute attributes_[2] = {};
  cudaLaunchConfig_t config_ = {};
};

}  // namespace lococo::hopper
