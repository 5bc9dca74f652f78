// Hopper's asynchronous parts in one place: the tensor memory accelerator (TMA), stages that it
// fills, and matrix products of a warpgroup (wgmma). For sources compiled for sm_90a.
#pragma once

#include <cuda.h>
#include <cuda_runtime.h>

#include <cstdint>

#include "tensor/kit/shared_barrier.cuh"

namespace lococo::hopper {

// --- stages

/// A position in a ring of stages; the phase flips with every round.
template <int kStages>
struct Ring {
  int stage = 0;
  uint32_t phase = 0;
  __device__ __forceinline__ void advance() {
    if (++stage == kStages) {
      stage = 0;
      phase ^= 1;
    }
  }
  __device__ __forceinline__ int previous() const { return (stage == 0 ? kStages : stage) - 1; }
};

/// Waits for `threads` threads of the block that come with the same `id` (1 to 15).
__device__ __forceinline__ void sync_threads(int id, int threads) {
  asm volatile("bar.sync %0, %1;" ::"r"(id), "r"(threads) : "memory");
}

template <int kRegisters>
__device__ __forceinline__ void more_registers() {
  asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(kRegisters));
}

template <int kRegisters>
__device__ __forceinline__ void fewer_registers() {
  asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(kRegisters));
}

// --- TMA

/// One box of a map from global to shared memory; zeros where the box leaves the tensor.
__device__ __forceinline__ void tma_load(uint32_t to, const CUtensorMap& map, uint32_t barrier,
                                         int inner, int row, int outer) {
  asm volatile(
      "cp.async.bulk.tensor.3d.shared::cluster.global.mbarrier::complete_tx::bytes "
      "[%0], [%1, {%3, %4, %5}], [%2];" ::"r"(to),
      "l"(&map), "r"(barrier), "r"(inner), "r"(row), "r"(outer)
      : "memory");
}

/// One box from shared to global memory; what leaves the tensor is not written.
__device__ __forceinline__ void tma_store(const CUtensorMap& map, uint32_t from, int inner, int row,
                                          int outer) {
  asm volatile(
      "cp.async.bulk.tensor.3d.global.shared::cta.bulk_group [%0, {%2, %3, %4}], [%1];" ::"l"(&map),
      "r"(from), "r"(inner), "r"(row), "r"(outer)
      : "memory");
}

/// Makes this thread's writes to shared memory visible to the TMA.
__device__ __forceinline__ void tma_store_fence() {
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}

/// Until the TMA has read what this thread told it to store.
__device__ __forceinline__ void tma_store_wait() {
  asm volatile("cp.async.bulk.commit_group;" ::: "memory");
  asm volatile("cp.async.bulk.wait_group.read 0;" ::: "memory");
}

inline constexpr int kBoxInner = 64;        // bfloat16 values of a row: 128 bytes, one swizzle row
inline constexpr int kBoxRowBytes = 128;    // what a row of a box takes in shared memory
inline constexpr int kSwizzleBytes = 1024;  // the swizzle repeats: boxes start at multiples of it

/// A map of a contiguous bfloat16 tensor [outer, rows, inner] whose boxes are [1, box_rows, 64] and
/// lie in shared memory row after row, the 16-byte pieces of a row exchanged (128-byte swizzle).
/// inner must be a multiple of 8. False when the driver refuses.
inline bool encode_map(CUtensorMap* map, const void* tensor, int64_t outer, int64_t rows,
                       int64_t inner, int box_rows) {
  using Encode =
      CUresult (*)(CUtensorMap*, CUtensorMapDataType, cuuint32_t, void*, const cuuint64_t*,
                   const cuuint64_t*, const cuuint32_t*, const cuuint32_t*, CUtensorMapInterleave,
                   CUtensorMapSwizzle, CUtensorMapL2promotion, CUtensorMapFloatOOBfill);
  static const auto encode = [] {
    void* function = nullptr;
    cudaDriverEntryPointQueryResult found = cudaDriverEntryPointSymbolNotFound;
    const auto error = cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &function, 12000,
                                                        cudaEnableDefault, &found);
    const bool usable = error == cudaSuccess && found == cudaDriverEntryPointSuccess;
    return usable ? reinterpret_cast<Encode>(function) : nullptr;
  }();
  if (encode == nullptr) return false;
  const auto unsigned64 = [](int64_t value) { return static_cast<cuuint64_t>(value); };
  const cuuint64_t sizes[3] = {unsigned64(inner), unsigned64(rows), unsigned64(outer)};
  const cuuint64_t strides[2] = {unsigned64(inner * 2), unsigned64(rows * inner * 2)};  // bytes
  const cuuint32_t box[3] = {kBoxInner, static_cast<cuuint32_t>(box_rows), 1};
  const cuuint32_t steps[3] = {1, 1, 1};
  return encode(map, CU_TENSOR_MAP_DATA_TYPE_BFLOAT16, 3, const_cast<void*>(tensor), sizes, strides,
                box, steps, CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B,
                CU_TENSOR_MAP_L2_PROMOTION_L2_256B,
                CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE) == CUDA_SUCCESS;
}

// --- wgmma

/// Describes an operand made of swizzled boxes. Reduction along a row (not transposed): `eights` is
/// the distance in bytes of 8 rows, `chunks` means nothing. Reduction along rows (transposed):
/// `eights` again, and `chunks` is the distance of boxes of 64 values. The swizzle follows the
/// address itself, so an operand may start at any row of its box.
__device__ __forceinline__ uint64_t operand(uint32_t address, uint32_t eights, uint32_t chunks) {
  constexpr uint64_t kSwizzle128 = 1;
  return static_cast<uint64_t>(address >> 4) | static_cast<uint64_t>(chunks >> 4) << 16 |
         static_cast<uint64_t>(eights >> 4) << 32 | kSwizzle128 << 62;
}

/// What to add to an operand to start it `bytes` later.
__device__ __forceinline__ constexpr uint64_t operand_step(uint32_t bytes) { return bytes >> 4; }

/// Before the first product that reads or writes registers touched by other instructions.
__device__ __forceinline__ void wgmma_fence() {
  asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
}

__device__ __forceinline__ void wgmma_commit() {
  asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
}

/// Until at most `kPending` committed groups are unfinished.
template <int kPending>
__device__ __forceinline__ void wgmma_wait() {
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(kPending) : "memory");
}

/// After the last wait: keeps what reads the sums from being moved before it.
template <int kCount>
__device__ __forceinline__ void wgmma_settle(float (&sums)[kCount]) {
#pragma unroll
  for (float& sum : sums) asm volatile("" : "+f"(sum)::"memory");
}

// The 64 x N float32 sums of a warpgroup, N / 2 in each thread: element 4 j + i is in row
// 16 warp + lane / 4 + 8 (i / 2) and column 8 j + 2 (lane % 4) + i % 2.
#define LOCOCO_ACC4(d, i) "+f"(d[i]), "+f"(d[i + 1]), "+f"(d[i + 2]), "+f"(d[i + 3])
#define LOCOCO_ACC16(d, i) \
  LOCOCO_ACC4(d, i), LOCOCO_ACC4(d, i + 4), LOCOCO_ACC4(d, i + 8), LOCOCO_ACC4(d, i + 12)

/// d = a b, or d += a b if `add`, m64n32k16.
template <int kTransposed>
__device__ __forceinline__ void wgmma(float (&d)[16], uint64_t a, uint64_t b, bool add) {
  asm volatile(
      "{.reg .pred p; setp.ne.b32 p, %18, 0;"
      "wgmma.mma_async.sync.aligned.m64n32k16.f32.bf16.bf16 "
      "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15}, "
      "%16, %17, p, 1, 1, %19, %19;}"
      : LOCOCO_ACC16(d, 0)
      : "l"(a), "l"(b), "r"(static_cast<int>(add)), "n"(kTransposed));
}

/// d = a b, or d += a b if `add`, m64n64k16.
template <int kTransposed>
__device__ __forceinline__ void wgmma(float (&d)[32], uint64_t a, uint64_t b, bool add) {
  asm volatile(
      "{.reg .pred p; setp.ne.b32 p, %34, 0;"
      "wgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16 "
      "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "
      "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31}, "
      "%32, %33, p, 1, 1, %35, %35;}"
      : LOCOCO_ACC16(d, 0), LOCOCO_ACC16(d, 16)
      : "l"(a), "l"(b), "r"(static_cast<int>(add)), "n"(kTransposed));
}

/// d = a b, or d += a b if `add`, m64n128k16.
template <int kTransposed>
__device__ __forceinline__ void wgmma(float (&d)[64], uint64_t a, uint64_t b, bool add) {
  asm volatile(
      "{.reg .pred p; setp.ne.b32 p, %66, 0;"
      "wgmma.mma_async.sync.aligned.m64n128k16.f32.bf16.bf16 "
      "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "
      "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, "
      "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, "
      "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63}, "
      "%64, %65, p, 1, 1, %67, %67;}"
      : LOCOCO_ACC16(d, 0), LOCOCO_ACC16(d, 16), LOCOCO_ACC16(d, 32), LOCOCO_ACC16(d, 48)
      : "l"(a), "l"(b), "r"(static_cast<int>(add)), "n"(kTransposed));
}

/// d = a b, or d += a b if `add`, m64n256k16.
template <int kTransposed>
__device__ __forceinline__ void wgmma(float (&d)[128], uint64_t a, uint64_t b, bool add) {
  asm volatile(
      "{.reg .pred p; setp.ne.b32 p, %130, 0;"
      "wgmma.mma_async.sync.aligned.m64n256k16.f32.bf16.bf16 "
      "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "
      "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, "
      "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, "
      "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63, "
      "%64, %65, %66, %67, %68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, %79, "
      "%80, %81, %82, %83, %84, %85, %86, %87, %88, %89, %90, %91, %92, %93, %94, %95, "
      "%96, %97, %98, %99, %100, %101, %102, %103, %104, %105, %106, %107, %108, %109, %110, %111, "
      "%112, %113, %114, %115, %116, %117, %118, %119, %120, %121, %122, %123, %124, %125, %126, "
      "%127}, "
      "%128, %129, p, 1, 1, %131, %131;}"
      : LOCOCO_ACC16(d, 0), LOCOCO_ACC16(d, 16), LOCOCO_ACC16(d, 32), LOCOCO_ACC16(d, 48),
        LOCOCO_ACC16(d, 64), LOCOCO_ACC16(d, 80), LOCOCO_ACC16(d, 96), LOCOCO_ACC16(d, 112)
      : "l"(a), "l"(b), "r"(static_cast<int>(add)), "n"(kTransposed));
}

#undef LOCOCO_ACC16
#undef LOCOCO_ACC4

}  // namespace lococo::hopper
