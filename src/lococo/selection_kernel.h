// The CUDA kernels that decide which slots of a full cache stay, which are mixed and where each
// goes. Raw pointers and a stream, so that the .cu sees no torch header.
//
//   X rows (B * G heads of a batch)    S slots of the full cache    M slots that are left
//   R mixed slots                      S' = S - (M - R) slots that are not kept: the rest
#pragma once

#include <cstdint>
#include <cstring>

#include "lococo/compress_kernel.h"
#include "soft/mass_floor.h"

#ifdef __CUDACC__
#define LOCOCO_HOST_DEVICE __host__ __device__
#else
#define LOCOCO_HOST_DEVICE
#endif

namespace lococo {

/// Slots that a kernel can rank: it holds a row's numbers in the registers of one thread block.
inline constexpr int64_t kMaxSelectionSlots = 8192;

/// Integers that are ordered like the masses they stand for. -0 comes just before +0, and a
/// positive NaN after everything, as torch.topk has it.
LOCOCO_HOST_DEVICE inline uint32_t ordered_bits(float mass) {
  uint32_t bits = 0;
  memcpy(&bits, &mass, sizeof(bits));
  return (bits & 0x80000000U) != 0 ? ~bits : bits | 0x80000000U;
}

/// mass is float32 [batches, heads, S] with neighbouring slots; strides count elements.
struct SelectionShape {
  int64_t batches;
  int64_t heads;
  int64_t batch_stride;
  int64_t head_stride;
  int slots;   ///< S
  int kept;    ///< M - R: sinks, local and, of those between, the heaviest
  int mixed;   ///< R, at most S'
  int sinks;   ///< first slots, always kept
  int local;   ///< last slots, always kept
  bool timed;  ///< the result is in order of time, a mixed slot at the place of its residual token
};

/// Slot lists, one row for each head. An entry is a kept slot (the first M - R, ascending) or a
/// mixed one (the last R, by ascending residual token).
struct SelectionLists {
  int32_t* rest;      ///< [X, S'] slot numbers, ascending; may be null when R is 0
  int32_t* residual;  ///< [X, R] places in `rest` of its R heaviest; may be null when R is 0
  int32_t* source;    ///< [X, M] slot that an entry is, or whose token is its residual
  int32_t* target;    ///< [X, M] slot of the result that the entry goes to
};

/// Of equal masses the lower slot wins. The same masses give the same lists.
void launch_selection(const float* mass, const SelectionLists& lists, const SelectionShape& shape,
                      CUstream_st* stream);

/// What retention chooses from and how many slots each reason keeps: the first `sinks` and last
/// `local`; of those between, the `alone` of the highest score; of what then is left, the `massed`
/// of the highest score + mass_weight * log(mass + kMassFloor).
struct TwoShares {
  NumberView<const float> score;
  NumberView<const float> mass;  ///< not read when massed is 0
  const float* mass_weight;      ///< [G], not read when massed is 0
  int64_t rows;                  ///< X
  int64_t heads;                 ///< G
  int slots;                     ///< S
  int sinks, local, alone, massed;
  int kept() const { return sinks + local + alone + massed; }  ///< M, at most S
};

/// Writes `source` (ascending) and `target` (the entry's own number). Of equal numbers the lower
/// slot wins; the numbers of the second share are rounded as with_mass() rounds on this device.
void launch_two_shares(const TwoShares& shares, const SelectionLists& lists, CUstream_st* stream);

}  // namespace lococo
