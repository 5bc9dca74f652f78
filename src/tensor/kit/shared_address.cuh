// Shared memory as PTX instructions name it.
#pragma once

#include <cstdint>

namespace lococo {

/// `pointer` points into shared memory.
__device__ __forceinline__ uint32_t shared_address(const void* pointer) {
  return static_cast<uint32_t>(__cvta_generic_to_shared(pointer));
}

}  // namespace lococo
