// The CUDA kernel behind column_mass(): raw pointers and a stream, so that the .cu sees no torch
// header.
#pragma once

#include <cstdint>

struct CUstream_st;  // cudaStream_t without CUDA's headers

namespace lococo {

struct ColumnMassShape {
  int64_t batches;  ///< B * G
  int64_t rows;     ///< R = (H / G) * L, row r is query r % L
  int64_t queries;  ///< L
  int64_t keys;     ///< S
  float scale;      ///< multiplies the scores before the exponential
};

/// Rows whose sum one thread takes; the caller adds the partial sums (a fixed order, so that
/// results repeat).
inline constexpr int64_t kColumnMassRows = 64;

/// partial[b, c, s] = sum over rows r of chunk c that may see key s of exp(scale * scores[b, r, s]
/// - lse[b, r]). scores float32 [batches, rows, keys], lse float32 [batches, rows], partial float32
/// [batches, ceil(rows / 64), keys].
void launch_column_mass(const float* scores, const float* lse, float* partial,
                        const ColumnMassShape& shape, CUstream_st* stream);

}  // namespace lococo
