// The CUDA kernels behind skinny_frozen(): raw pointers and a stream, so that the .cu sees no torch
// header.
#pragma once

#include <cstdint>

struct CUstream_st;  // cudaStream_t without CUDA's headers

namespace lococo {

inline constexpr int64_t kSkinnyFrozenMaxRows = 8;
inline constexpr int kSkinnyFrozenMaxMatrices = 3;
inline constexpr int64_t kSkinnyFrozenWidthStep = 64;  ///< a block of NF4, which has one scale

enum class SkinnyForm { kFp8, kNf4 };

/// [N, K] of 8 or 4 bits, as fp8.h and nf4.h say; codes are 16-byte aligned.
struct SkinnyFrozenMatrix {
  const uint8_t* codes = nullptr;
  const float* row_scales = nullptr;     ///< fp8: [N]
  const uint8_t* scale_codes = nullptr;  ///< nf4: [N K / 64]
  const float* group_scales = nullptr;   ///< nf4
  const float* offset = nullptr;         ///< nf4
  int outputs = 0;                       ///< N; 0: no such matrix
};

/// bfloat16, contiguous, multiples of 16 bytes unless said otherwise.
struct SkinnyFrozenTensors {
  const void* x = nullptr;     ///< [M, K]
  const void* norm = nullptr;  ///< [K], or nullptr: none
  SkinnyFrozenMatrix matrices[kSkinnyFrozenMaxMatrices];
  const float* values_16 = nullptr;  ///< tables of nf4
  const float* tree_256 = nullptr;
  const void* residual = nullptr;  ///< [M, outputs[0]], or nullptr; one matrix only
  void* out = nullptr;             ///< [M, sum of N]
};

struct SkinnyFrozenShape {
  SkinnyForm form = SkinnyForm::kFp8;
  int rows = 0;          ///< M, 1 to kSkinnyFrozenMaxRows
  int width = 0;         ///< K, a multiple of kSkinnyFrozenWidthStep
  bool swiglu = false;   ///< two matrices of the same N: silu(x W0') * (x W1') -> [M, N]
  float epsilon = 0;     ///< of the norm
  bool overlap = false;  ///< start before the kernel before has ended (compute capability 9.0 on)
  int processors = 0;    ///< of the device
  int64_t shared_bytes = 0;  ///< that a block of the device may have
};

/// Shared memory of a block beside 1 KB; both must not be more than the device has for one.
int64_t skinny_frozen_bytes(SkinnyForm form, int64_t rows, int64_t width);

/// Sums are float32 in a fixed order, so results repeat bit for bit.
void launch_skinny_frozen(const SkinnyFrozenTensors& tensors, const SkinnyFrozenShape& shape,
                          CUstream_st* stream);

}  // namespace lococo
