// The gated activation of LLaMA's feed-forward (SwiGLU, arXiv 2002.05202).
#pragma once

#include <torch/types.h>

namespace lococo {

/// silu(gate_XF) * up_XF; gate and up have one shape and dtype. On a GPU, bfloat16 and float32 run
/// as one kernel, computed in float32 and rounded once, when F and the rows' strides are multiples
/// of 8; rows may be part of longer ones (halves of a fused product). Its backward pass is one
/// kernel too and keeps gate and up only. Anything else is swiglu_reference().
torch::Tensor swiglu(const torch::Tensor& gate_XF, const torch::Tensor& up_XF);

/// The same in plain tensor operations, which round after silu too.
torch::Tensor swiglu_reference(const torch::Tensor& gate_XF, const torch::Tensor& up_XF);

struct SwigluGradients {
  torch::Tensor d_gate_XF;
  torch::Tensor d_up_XF;
};

/// The gradients of swiglu(gate, up) from that of its output, for Functions that contain it. Itself
/// not differentiable.
SwigluGradients swiglu_gradients(const torch::Tensor& d_out_XF, const torch::Tensor& gate_XF,
                                 const torch::Tensor& up_XF);

}  // namespace lococo
