// What a block would take if nothing but the library's own large kernels ran: the yardstick of
// train-step, measured on the same machine in the same run.
#pragma once

#include <torch/types.h>

#include "config/cache_config.h"
#include "config/model_config.h"
#include "core/model_shape.h"
#include "lococo/step_plan.h"

namespace lococo {

/// What a training step must compute besides the forward pass and the gradients of activations.
struct LimitWork {
  int64_t batch = 1;
  BlockStep step;             ///< a block in the middle of a sequence, or the whole sequence
  bool conv_trained = false;  ///< the convolution's weight gradient
  bool base_trained = false;  ///< weight gradients of the projections and the head
  int64_t loss_rows = 2048;   ///< rows of the output head at a time
  /// Of the projections. fp8: products of inputs that are in 8 bits already; nf4: of dense
  /// matrices, which is what they become.
  BasePrecision precision = BasePrecision::kAuto;
  torch::TensorOptions options;  ///< dtype and device
};

/// Seconds and operations of one block.
struct HardwareLimit {
  int64_t layers = 0;
  double gemm_seconds = 0.0;  ///< of one layer: q, k, v, o, gate, up, down and their gradients
  double gemm_flops = 0.0;
  double attention_seconds = 0.0;  ///< of one layer, forward and backward
  double conv_seconds = 0.0;       ///< of one layer; 0 where the block does not compress
  double conv_flops = 0.0;
  double head_seconds = 0.0;

  double gemm_rate() const { return gemm_flops / gemm_seconds; }
  double total() const;
  /// The same if the convolution ran as fast as this layer's matrix products.
  double total_with_conv_at_gemm_rate() const;
};

/// Sums the library calls that one block needs: products of each projection (each with a weight of
/// its own, several layers of them in turn where one fits into the GPU's cache), the fastest of the
/// library's attention kernels, the output head, cuDNN's convolution. LoRA's thin products, norms,
/// RoPE and the selection of slots are left out: a limit, not an estimate.
HardwareLimit measure_hardware_limit(const ModelShape& shape, const CacheConfig& cache,
                                     const LimitWork& work);

/// A product of two square matrices (8,192 on a GPU, 512 on a CPU) and a copy of 1 GiB (64 MiB).
struct MachineRates {
  double gemm_flops_per_second = 0.0;
  double copy_bytes_per_second = 0.0;  ///< read and written
};
MachineRates measure_machine_rates(torch::TensorOptions options);

}  // namespace lococo
