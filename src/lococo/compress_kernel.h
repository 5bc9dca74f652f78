// The CUDA kernels that move slots: from a full cache into the convolution's input, from both and
// the mixture into the compressed cache, and the gradients of that cache back. Raw pointers and a
// stream, so that the .cu sees no torch header. bfloat16 numbers travel as their bits.
//
//   X rows (B * G heads of a batch)    S slots of the full cache    M slots that are left
//   R mixed slots                      S' slots that are not kept: the rest
//   C' channels of a mixture: the 2 D of keys and values, or the D of values
#pragma once

#include <cstdint>

struct CUstream_st;  // cudaStream_t without CUDA's headers

namespace lococo {

/// Keys or values [B, G, S, D] in bfloat16. Strides count elements and are multiples of 8, the
/// first element lies on 16 bytes, and the D channels of a slot are neighbours.
template <typename Bits>
struct SlotView {
  Bits* data;  ///< null: all zeros, where a kernel says so
  int64_t batch_stride;
  int64_t head_stride;
  int64_t slot_stride;
};

/// A number of each slot (mass and score: float32; place: int32), [B, G, S]; neighbouring slots.
template <typename Number>
struct NumberView {
  Number* data;  ///< null: there are none
  int64_t batch_stride;
  int64_t head_stride;
};

struct CompressShape {
  int64_t rows;     ///< X
  int64_t heads;    ///< G
  int slots;        ///< S
  int result;       ///< M
  int mixed;        ///< R
  int sinks;        ///< read only where there are no lists
  int channels;     ///< D, a multiple of 8
  float decay;      ///< factor on every mass that stays
  bool own_shares;  ///< each head has a normalizer of its own
  bool mix_keys;    ///< else a mixture is of values only
  int mixture_channels() const { return mix_keys ? 2 * channels : channels; }  ///< C'
  int rest() const { return slots - (result - mixed); }                        ///< S'
};

/// x[row, s, :] = keys, then values, of slot rest[row, s]: [X, S', 2 D].
void launch_gather_rest(const SlotView<const uint16_t>& k, const SlotView<const uint16_t>& v,
                        const int32_t* rest, uint16_t* x, const CompressShape& shape,
                        CUstream_st* stream);

struct WriteSlots {
  SlotView<const uint16_t> k, v;
  NumberView<const float> mass;
  NumberView<const float> score;
  NumberView<const int32_t> place;
  /// The lists of launch_selection, [X, M]. Both null: the first `sinks` and the newest slots.
  const int32_t* source;
  const int32_t* target;
  const uint16_t* mixture;   ///< [X, R, C']
  const float* mixed_mass;   ///< [X, R]
  const float* normalizer;   ///< [1], or [G] where shape.own_shares
  SlotView<uint16_t> k_out;  ///< M slots, not the memory of k or v
  SlotView<uint16_t> v_out;
  NumberView<float> mass_out;
  NumberView<float> score_out;
  NumberView<int32_t> place_out;
};

/// Writes every slot of the compressed cache: kept ones as they are, a mixed one as
/// (1 - a) * residual + a * mixture in float32, rounded once; a is the normalizer. Without mix_keys
/// its key is the residual's. Masses fade; scores and places stay as they are, and a mixed slot has
/// its residual's. A number is written where its `_out` has data.
void launch_write_slots(const WriteSlots& slots, const CompressShape& shape, CUstream_st* stream);

struct MixtureGradient {
  SlotView<const uint16_t> dk, dv;  ///< gradients of the M slots; null data: zeros
  const int32_t* target;            ///< [X, M]
  const int32_t* residual;          ///< [X, R]
  const uint16_t* x;                ///< [X, S', 2 D]
  const uint16_t* mixture;          ///< [X, R, C']
  const float* normalizer;          ///< [1], or [G] where shape.own_shares
  uint16_t* d_mixture;              ///< [X, R, C']
  /// [X, mixture_gradient_blocks / X]: their sum is the normalizer's gradient, over all rows or
  /// those of a head. Null: not wanted.
  float* partial;
};

/// Thread blocks of launch_mixture_gradient.
int64_t mixture_gradient_blocks(const CompressShape& shape);

/// d_mixture = a * d and partial sums of d * (mixture - residual), d being the mixed slots'
/// gradient. The same inputs give the same bits.
void launch_mixture_gradient(const MixtureGradient& gradient, const CompressShape& shape,
                             CUstream_st* stream);

}  // namespace lococo
