// The few rows of x in shared memory: normed, as float16 in parts of a power of two of each row.
#pragma once

#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include "tensor/kit/packed8.cuh"
#include "tensor/kit/reduce.cuh"
#include "tensor/layers/skinny_frozen_kernel.h"
#include "tensor/layers/skinny_frozen_tiles.cuh"

namespace lococo {

/// Rows of x in shared memory, in parts of a unit of each row, a power of two.
struct SkinnyX {
  uint4* x;    ///< [M, stride]: 8 elements a word
  int stride;  ///< of a row, in words: one more than it has, for the banks' sake
};

/// What each warp found in its row.
template <int kWarps>
struct RowParts {
  float squares[kWarps], largest[kWarps];
};

__device__ inline unsigned half2_bits(float low, float high) {
  const __half2 pair = __floats2half2_rn(low, high);
  return *reinterpret_cast<const unsigned*>(&pair);
}

/// A power of two that brings `largest` to 2^14 (float16 ends at 2^16); 1 for zero and what is not
/// finite.
__device__ inline float half_scale(float largest) {
  const int exponent = static_cast<int>(__float_as_uint(largest) >> 23 & 0xffU) - 127;
  if (largest == 0.0F || exponent == 128) return 1.0F;
  return __uint_as_float(static_cast<unsigned>(min(14 - exponent, 126) + 127) << 23);
}

/// The norm's weights of a word of x, if there is a norm.
struct NormWord {
  bool is_there;
  uint4 weights;
};

__device__ inline NormWord norm_word(const SkinnyFrozenTensors& t, int word) {
  if (t.norm == nullptr) return {false, uint4{}};
  return {true, __ldg(static_cast<const uint4*>(t.norm) + word)};
}

/// What a word of x adds to the sum of squares and to the largest magnitude behind the norm.
__device__ inline void examine(uint4 packed, const NormWord& norm, float& squares, float& largest) {
  float v[8], w[8] = {1.0F, 1.0F, 1.0F, 1.0F, 1.0F, 1.0F, 1.0F, 1.0F};
  unpack8(packed, v);
  if (norm.is_there) unpack8(norm.weights, w);
#pragma unroll
  for (int e = 0; e < 8; ++e) {
    squares += v[e] * v[e];
    largest = fmaxf(largest, fabsf(v[e] * w[e]));
  }
}

/// A word of x, normed and rounded to bfloat16 where there is a norm, as float16 times `scale`.
__device__ inline uint4 normed_half(uint4 packed, const NormWord& norm, float inverse,
                                    float scale) {
  float v[8];
  unpack8(packed, v);
  if (norm.is_there) {
    float w[8];
    unpack8(norm.weights, w);
#pragma unroll
    for (int e = 0; e < 8; ++e) v[e] = w[e] * (v[e] * inverse);
    unpack8(pack8(v), v);
  }
  return make_uint4(half2_bits(v[0] * scale, v[1] * scale), half2_bits(v[2] * scale, v[3] * scale),
                    half2_bits(v[4] * scale, v[5] * scale), half2_bits(v[6] * scale, v[7] * scale));
}

/// Joins the parts of a row's warps; returns what its values are multiplied with by the norm.
template <int kWarps>
__device__ float join_parts(const SkinnyFrozenTensors& t, const SkinnyFrozenShape& shape,
                            const RowParts<kWarps>& parts, int first, int count, float& scale) {
  float squares = parts.squares[first], largest = parts.largest[first];
  for (int warp = first + 1; warp < first + count; ++warp) {
    squares += parts.squares[warp];
    largest = fmaxf(largest, parts.largest[warp]);
  }
  const float inverse =
      t.norm == nullptr ? 1.0F : rsqrtf(squares / static_cast<float>(shape.width) + shape.epsilon);
  scale = half_scale(largest * inverse);
  return inverse;
}

/// One row, each thread keeping its words in registers. The norm's weights come from memory before
/// the kernel waits for x.
template <int kThreads>
class OneRow {
 public:
  __device__ OneRow(const SkinnyFrozenTensors& t, const SkinnyFrozenShape& shape)
      : words_(shape.width / 8) {
    has_norm_ = t.norm != nullptr;
    takes_ = shape.rows == 1 && words_ <= kHeld * kThreads &&
             (!has_norm_ || words_ <= kNormHeld * kThreads);
    if (!takes_ || !has_norm_) return;
#pragma unroll
    for (int i = 0; i < kNormHeld; ++i)
      norm_[i] = word(i) < words_ ? __ldg(static_cast<const uint4*>(t.norm) + word(i)) : uint4{};
  }

  __device__ bool takes() const { return takes_; }

  __device__ void stage(const SkinnyFrozenTensors& t, const SkinnyFrozenShape& shape,
                        const SkinnyX& to, RowParts<kThreads / 32>& parts, float* x_units) const {
    uint4 x[kHeld];
#pragma unroll
    for (int i = 0; i < kHeld; ++i)
      x[i] = word(i) < words_ ? __ldcg(static_cast<const uint4*>(t.x) + word(i)) : uint4{};
    float squares = 0.0F, largest = 0.0F;
#pragma unroll
    for (int i = 0; i < kHeld; ++i) {
      if (i * kThreads >= words_) break;  // zeros, which would take as long
      examine(x[i], norm(i), squares, largest);
    }
    squares = warp_sum(squares);
    largest = warp_max(largest);
    if (threadIdx.x % 32 == 0) {
      parts.squares[threadIdx.x / 32] = squares;
      parts.largest[threadIdx.x / 32] = largest;
    }
    __syncthreads();
    float scale;
    const float inverse = join_parts(t, shape, parts, 0, kThreads / 32, scale);
    if (threadIdx.x == 0) x_units[0] = 1.0F / scale;
#pragma unroll
    for (int i = 0; i < kHeld; ++i) {
      if (i * kThreads >= words_) break;
      if (word(i) < words_) to.x[word(i)] = normed_half(x[i], norm(i), inverse, scale);
    }
    __syncthreads();
  }

 private:
  static constexpr int kHeld = 1536 / kThreads;      // rows up to 12,288
  static constexpr int kNormHeld = 1024 / kThreads;  // 8,192 with a norm

  __device__ static int word(int i) { return i * kThreads + static_cast<int>(threadIdx.x); }
  __device__ NormWord norm(int i) const {
    if (i >= kNormHeld) return {false, uint4{}};
    return {has_norm_, norm_[i < kNormHeld ? i : 0]};
  }

  int words_;
  bool takes_, has_norm_;
  uint4 norm_[kNormHeld];
};

/// Any rows, teams of warps taking one each. A thread comes back to the words that it wrote.
template <int kThreads>
__device__ void stage_rows(const SkinnyFrozenTensors& t, const SkinnyFrozenShape& shape,
                           const SkinnyX& to, RowParts<kThreads / 32>& parts, float* x_units) {
  constexpr int kWarps = kThreads / 32;
  const int words = shape.width / 8, warp = static_cast<int>(threadIdx.x) / 32;
  const int teams = shape.rows == 1 ? 1 : shape.rows == 2 ? 2 : shape.rows <= 4 ? 4 : 8;
  const int team_warps = kWarps / teams, m = warp / team_warps, first_warp = m * team_warps;
  const int place = static_cast<int>(threadIdx.x) - 32 * first_warp, step = 32 * team_warps;
  const auto* x = static_cast<const uint4*>(t.x) + static_cast<int64_t>(m) * words;
  const int end = m < shape.rows ? words : 0;
  uint4* row = to.x + m * to.stride;
  float squares = 0.0F, largest = 0.0F;
#pragma unroll 4
  for (int word = place; word < end; word += step) {
    row[word] = __ldcg(x + word);
    examine(row[word], norm_word(t, word), squares, largest);
  }
  squares = warp_sum(squares);
  largest = warp_max(largest);
  if (threadIdx.x % 32 == 0) {
    parts.squares[warp] = squares;
    parts.largest[warp] = largest;
  }
  __syncthreads();
  float scale;
  const float inverse = join_parts(t, shape, parts, first_warp, team_warps, scale);
  if (place == 0 && m < shape.rows) x_units[m] = 1.0F / scale;
#pragma unroll 4
  for (int word = place; word < end; word += step)
    row[word] = normed_half(row[word], norm_word(t, word), inverse, scale);
  __syncthreads();
}

/// The 16 elements of a lane from row g of x, as pairs. Beyond the last row that one is repeated,
/// in columns of the product that nobody looks at: a branch would cost more.
__device__ inline void load_x(const SkinnyX& x_rows, const SkinnyFrozenShape& shape, int step,
                              unsigned (&x)[8]) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int m = min(lane / 4, shape.rows - 1);
  const uint4* words = x_rows.x + m * x_rows.stride + step * (kSkinnyStep / 8) + 2 * (lane % 4);
  const uint4 first = words[0], second = words[1];
  x[0] = first.x, x[1] = first.y, x[2] = first.z, x[3] = first.w;
  x[4] = second.x, x[5] = second.y, x[6] = second.z, x[7] = second.w;
}

}  // namespace lococo
