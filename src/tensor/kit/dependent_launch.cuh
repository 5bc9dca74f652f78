// Kernels that start while the one before them still runs (programmatic dependent launch, compute
// capability 9.0): what does not depend on it, such as reading weights, is under way when it ends.
#pragma once

#include <cuda_runtime.h>

namespace lococo {

/// Lets the next kernel of the stream start as soon as every block has come here and there is room.
/// Its blocks then wait in wait_for_earlier_kernels().
__device__ inline void let_next_kernel_start() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#endif
}

/// Until all earlier kernels of the stream are done and what they wrote can be seen. EVERY thread
/// of a kernel launched by launch_dependent() must come here before it reads what an earlier kernel
/// wrote, and before it writes anything: kernels further back are known to be done only because the
/// one before waited too.
__device__ inline void wait_for_earlier_kernels() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}

/// kernel<<<grid, threads, shared_bytes, stream>>>(arguments...), which may start early where
/// `overlap` is set (only for devices of compute capability 9.0 on). Can be captured.
template <typename... Parameters, typename... Arguments>
void launch_dependent(void (*kernel)(Parameters...), dim3 grid, int threads, size_t shared_bytes,
                      cudaStream_t stream, bool overlap, const Arguments&... arguments) {
  cudaLaunchAttribute attribute = {};
  attribute.id = cudaLaunchAttributeProgrammaticStreamSerialization;
  attribute.val.programmaticStreamSerializationAllowed = 1;
  cudaLaunchConfig_t config = {};
  config.gridDim = grid;
  config.blockDim = dim3(static_cast<unsigned>(threads));
  config.dynamicSmemBytes = shared_bytes;
  config.stream = stream;
  config.attrs = &attribute;
  config.numAttrs = overlap ? 1 : 0;
  cudaLaunchKernelEx(&config, kernel, arguments...);
}

}  // namespace lococo
