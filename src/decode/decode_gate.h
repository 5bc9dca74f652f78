// The gate of learned retention for new tokens, one of each sequence: its first matrices stand
// below those of q, k and v, so that one product of the layer's input makes them on the way, and
// what is left is a small kernel. RetentionGateImpl::forward is the reference.
#pragma once

#include <torch/types.h>

#include "lococo/retention.h"

namespace lococo {

/// W_hidden / 4, below it W_skip / 4, and rows of zeros up to P, a multiple of 8: [P, E] in `dtype`
/// (rounded to it). A layer's normed input times these is what note_gate_scores() takes. No
/// gradient.
torch::Tensor gate_rows(const RetentionGateImpl& gate, torch::ScalarType dtype);

/// What of a gate comes behind that product; float32, contiguous. Shares the gate's memory where
/// that is so already.
struct GateTail {
  torch::Tensor hidden_bias_U, out_weight_GU, out_bias_G;
  bool defined() const { return hidden_bias_U.defined(); }
};
GateTail gate_tail(const RetentionGateImpl& gate);

/// Whether note_gate_scores() runs the kernel for products of this dtype and device: bfloat16 on a
/// GPU.
bool has_gate_kernel(torch::ScalarType dtype, torch::Device device);

/// Writes each new token's scores to its slot of score_BGC (float32, neighbouring slots):
/// product_BP is the input times gate_rows(), P neighbouring numbers a row; cursor_B2 int32,
/// contiguous, the slot first (DecodePosition). Arithmetic in float32. No gradient, no wait for the
/// device: can be captured as a CUDA graph.
void note_gate_scores(const torch::Tensor& product_BP, const GateTail& tail,
                      const torch::Tensor& cursor_B2, torch::Tensor score_BGC);

/// The slow form of its arithmetic: [B, G] float32 (float64 for a product of float64).
torch::Tensor gate_scores_reference(const torch::Tensor& product_BP, const GateTail& tail);

}  // namespace lococo
