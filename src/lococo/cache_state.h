// What one layer remembers between blocks.
#pragma once

#include <torch/types.h>

#include <array>

namespace lococo {

/// Slots lie in order of time, except that the official (rotated) LoCoCo puts its mixed slots after
/// the kept ones. Keys are stored as KeyKind says: after RoPE (rotated) or before it (unrotated).
/// Rows of a ragged batch are padded on the right: what a row caches after its own end is seen by
/// no target that counts.
struct CacheState {
  torch::Tensor k_BGSD;  ///< compute dtype; no gradient unless carried across blocks
  torch::Tensor v_BGSD;
  torch::Tensor mass_BGS;  ///< float32, attention received; undefined when the policy needs none
  torch::Tensor score_BGS = {};  ///< float32, what a gate said of each token; undefined: no gate
  /// int32, where each token stands for RoPE, counted from the frame's origin
  /// (CacheConfig::frame_origin); undefined: at its slot.
  torch::Tensor place_BGS = {};

  /// Memory of capacity C >= S that a pass may give a layer: its cache then always lies in the
  /// first S slots of it, so that its address never changes (a CUDA graph holds it). Undefined:
  /// every block allocates a new cache.
  torch::Tensor k_home_BGCD = {};
  torch::Tensor v_home_BGCD = {};
  torch::Tensor mass_home_BGC = {};
  torch::Tensor score_home_BGC = {};
  torch::Tensor place_home_BGC = {};

  /// What CachePolicy::prepare made of a policy's weights for a sequence: LoCoCo's convolution,
  /// packed as time_conv_pack does. Like a home it stays where it is and belongs to the pass.
  /// Undefined: every compression packs by itself.
  torch::Tensor prepared_KOC = {};

  /// One of the tensors that hold something of each slot along their third axis, and its home.
  struct Field {
    torch::Tensor CacheState::*slots;
    torch::Tensor CacheState::*home;
  };
  /// All of them: what moves, saves or counts whole caches goes through this list.
  static const std::array<Field, 5>& fields();

  /// The same homes, seen as caches of `count` rows from row `first`; empty.
  CacheState rows(int64_t first, int64_t count) const;

  /// Slots in use (S); 0 before the first block.
  int64_t size() const { return k_BGSD.defined() ? k_BGSD.size(2) : 0; }

  /// Makes what lies in the home's first `slots` slots the cache; 0 empties it. Needs a home.
  void use_home(int64_t slots) { use_home_of(*this, slots); }
  /// The same with the home of `before`: what this cache appends goes into its own home, and the
  /// other stays as it is. A block whose home a backward pass still needs is followed so.
  void use_home_of(const CacheState& before, int64_t slots);
  /// A cache without a home that holds copies of the home's first `slots` slots.
  CacheState copy_of_home(int64_t slots) const;
  /// Copies the slots of `from`, which may be views of this home, into the home's first ones. What
  /// of it is undefined, and this cache's own slots, stay as they are.
  void put_into_home(const CacheState& from);
  int64_t home_bytes() const;
  /// Moves the home to memory of `slots` slots, at least as many as it has; those behind hold
  /// zeros. Views of the old one stay what they are.
  void grow_home(int64_t slots);
};

/// past_BGMD (may be undefined: no slots yet) and then fresh_BGLD along time. Without `home` it is
/// their concatenation; with one it is written into the home's first M + L slots and a view of them
/// is returned, whose gradient reaches past and fresh all the same. The home must not change before
/// the backward pass is done. Throws c10::Error when the slots do not fit into the home.
torch::Tensor append_slots(const torch::Tensor& past_BGMD, const torch::Tensor& fresh_BGLD,
                           const torch::Tensor& home_BGCD);

/// The same for a number of each slot: past_BGM (may be undefined) and then fresh_BGL, in the
/// home's first slots where there is one. No gradient.
torch::Tensor append_numbers(const torch::Tensor& past_BGM, const torch::Tensor& fresh_BGL,
                             const torch::Tensor& home_BGC);

}  // namespace lococo
