// Decoders of a tiny model with the shapes that kernels know.
#pragma once

#include "config/cache_config.h"
#include "decode/decoder.h"
#include "model/registry.h"
#include "tensor/kit/torch.h"
#include "tests/support/tiny_llama.h"

namespace lococo::testing {

/// `model` there, its weights frozen in `dtype` (float32: as they are).
inline Llama moved_to(torch::Device device, torch::ScalarType dtype, Llama model) {
  model->to(device);
  model->set_compute_dtype(dtype);
  if (dtype != torch::kFloat32) ParameterRegistry frozen(model, TuneConfig{}, 0.0, dtype);
  return model;
}

inline Llama kernel_model(torch::Device device, const CacheConfig& cache, torch::ScalarType dtype) {
  return moved_to(device, dtype, tiny_llama(3, cache, kernel_shape()));
}

/// A compression after every fifth token.
inline DecoderOptions short_buffer(int64_t batch, bool cuda_graphs) {
  DecoderOptions options;
  options.batch = batch;
  options.decode_buffer = 4;
  options.cuda_graphs = cuda_graphs;
  return options;
}

}  // namespace lococo::testing
