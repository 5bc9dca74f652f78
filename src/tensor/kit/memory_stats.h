// Peak memory of a process, for metrics and tests of bounds.
#pragma once

#include <c10/core/Device.h>

#include <cstdint>

namespace lococo {

/// Most bytes in use at one time since the last reset. GPU: tensors of this process (the caching
/// allocator's allocated bytes, not what it reserves; with CUDA graphs also what a replay uses).
/// CPU: resident set of the process (VmHWM); 0 where the system does not tell.
int64_t peak_memory_bytes(c10::Device device);

/// Bytes of memory in all: of the GPU, or of this machine, swap included. 0 where the system does
/// not tell.
int64_t total_memory_bytes(c10::Device device);

/// Starts a new peak at what is in use now. On a CPU it may be refused by the system, silently: the
/// peak is then since the start of the process.
void reset_peak(c10::Device device);

}  // namespace lococo
