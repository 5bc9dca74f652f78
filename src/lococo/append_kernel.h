// The CUDA kernel behind append_slots(): what a cache keeps and a block's own slots, written side
// by side in one launch. Raw pointers and a stream, so that the .cu sees no torch header.
#pragma once

#include "lococo/compress_kernel.h"

namespace lococo {

struct AppendShape {
  int64_t rows;   ///< X = B * G
  int64_t heads;  ///< G
  int past;       ///< M, 0 where they are in place already
  int fresh;      ///< L
  int channels;   ///< D, a multiple of 8
};

/// to[row, 0 .. M) = past[row], to[row, M .. M + L) = fresh[row]. `to` overlaps neither.
void launch_append_slots(const SlotView<const uint16_t>& past,
                         const SlotView<const uint16_t>& fresh, const SlotView<uint16_t>& to,
                         const AppendShape& shape, CUstream_st* stream);

}  // namespace lococo
