// A 1-d convolution over time, channels last. These functions carry no gradient: they are the parts
// that a differentiable convolution is made of.
//
//   y[x, s, o] = act(bias[o] + sum over t < K, c < C of x[x, s + t - (K - 1) / 2, c] w[o, c, t])
//
// with zeros before the first and after the last row, and K odd, so that y has as many rows as x.
//
//   X sequences    S rows (time)    C input channels    O output channels    K taps
#pragma once

#include <torch/types.h>

namespace lococo {

/// The one place that chooses: whether forward and weight gradient run in the project's own tensor
/// core kernels (bfloat16 on a device of compute capability 9.0, C a multiple of 64, O of 8, K at
/// most 63) or in the library's convolution (everything else). `x_XSC` may be strided: it is made
/// contiguous.
bool time_conv_is_fused(const torch::Tensor& x_XSC, int64_t O, int64_t K);

/// Whether the device has the instructions of those kernels, and this build the kernels.
bool time_conv_has_kernels(torch::Device device);

/// weight [O, C, K] of any dtype as the project's forward kernel reads it, bfloat16 [K, O, C], for
/// whoever convolves many times with one weight. A `packed_KOC` that is defined is written in
/// place, so that recorded work which reads it sees the new weight; else it is made. Where the
/// kernels do not take such a weight nothing happens.
void time_conv_pack(const torch::Tensor& weight_OCK, torch::Tensor& packed_KOC);

/// [X, S, C] with weight [O, C, K] and bias [O] of any dtype -> [X, S, O] in x's dtype, through
/// ReLU if `relu`. The weight is rounded to x's dtype; the project's kernels add the bias in
/// float32 and round once. `packed_KOC` may hold the same weight from time_conv_pack: the kernels
/// then read that alone, with the same bits as without, and the library ignores it.
torch::Tensor time_conv_forward(const torch::Tensor& x_XSC, const torch::Tensor& weight_OCK,
                                const torch::Tensor& bias_O, bool relu,
                                const torch::Tensor& packed_KOC = {});

/// dW[o, c, t] = sum over x, s of dy[x, s, o] x[x, s + t - (K - 1) / 2, c]: [O, C, K] in float32,
/// float64 where x is. `dy_XSO`, in x's dtype, is the gradient before the activation. The same
/// inputs give the same bits.
torch::Tensor time_conv_weight_gradient(const torch::Tensor& x_XSC, const torch::Tensor& dy_XSO,
                                        int64_t K);

}  // namespace lococo
