// The CUDA kernel behind DecodeAttention: raw pointers and a stream, so that the .cu sees no torch
// header.
#pragma once

#include <cstdint>

struct CUstream_st;  // cudaStream_t without CUDA's headers

namespace lococo {

struct DecodeAttentionShape {
  int batch;           ///< B
  int kv_heads;        ///< G
  int group;           ///< H / G
  int capacity;        ///< C
  int home_slots;      ///< slots between two heads of the cache and of the mass; C or more
  int head_dim;        ///< D
  int q_stride;        ///< numbers between the queries of two sequences; a multiple of 8
  int kv_stride;       ///< the same of the new keys, and of the new values
  int table_stride;    ///< numbers between the angles of two sequences; 0: they share them
  int keys_per_split;  ///< keys that one thread block reads; ceil(C / this) splits
  bool overlap;        ///< start before the kernel before has ended (compute capability 9.0 on)
  bool rotate_cache;   ///< keys lie in the cache before RoPE
  int distance;        ///< the mass takes no attention to slots nearer to the new one
};

/// At multiples of 16 bytes. bfloat16: q [B, H, D], k and v [B, G, D] with their strides, out
/// [B, H, D], caches [B, G, home_slots, D]. float32: cos and sin [X, D] for each table, mass [B, G,
/// home_slots], scores [B, H, C] (both nullptr: no mass), partial [B * G, splits, H / G, D],
/// statistics [B * G, splits, H / G, 2].
struct DecodeAttentionTensors {
  const void* q;
  const void* k;
  const void* v;
  void* k_cache;
  void* v_cache;
  const float* cos;
  const float* sin;
  const int* cursor;      ///< int32 [B, 2]: slot of the new token, row of its angles
  int* places = nullptr;  ///< int32 [B, G, home_slots]: rows of the keys' angles; nullptr: slots
  float* mass = nullptr;
  float* scores = nullptr;
  float* partial = nullptr;
  float* statistics = nullptr;
  unsigned* arrivals =
      nullptr;  ///< [B * G], zero before the first launch; every launch leaves zeros
  void* out;
};

/// Whether there is a kernel for heads of D channels in groups of `group` query heads.
inline constexpr bool decode_attention_supports(int64_t group, int64_t head_dim) {
  return group >= 1 && group <= 16 && (head_dim == 64 || head_dim == 96 || head_dim == 128);
}

/// Results repeat bit for bit: every sum is taken in a fixed order.
void launch_decode_attention(const DecodeAttentionTensors& tensors,
                             const DecodeAttentionShape& shape, CUstream_st* stream);

}  // namespace lococo
