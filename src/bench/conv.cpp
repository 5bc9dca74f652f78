#include "bench/conv.h"

#include "bench/library_conv.h"
#include "bench/timing.h"
#include "core/error.h"
#include "setup/model_positions.h"
#include "setup/model_setup.h"
#include "tensor/conv/time_conv.h"

namespace lococo {
namespace {

/// The first convolution of a compression, when the cache is one block over its slots.
ConvSize first_conv(const ModelShape& shape, const CacheConfig& cache, int64_t B) {
  ConvSize size;
  size.X = B * shape.num_kv_heads;
  size.C = 2 * shape.head_dim;
  size.O = cache.mixed_slots() * (cache.conv_layers > 1 ? cache.expand : 1);
  size.S = cache.slots + cache.block - cache.kept_slots();
  size.K = cache.kernel_size;
  return size;
}

void add_times(const std::string& name, double flops, const Spread& seconds, BenchCase* measured) {
  measured->add(name, "ms", scaled(seconds, 1e3));
  measured->add(name + " rate", "TFLOP/s", flops / seconds.median / 1e12);
}

Spread single(double value) { return {value, value, value, value, value, 1}; }

BenchCase measure(const ConvSize& size, int64_t B, torch::TensorOptions options,
                  const Rounds& rounds) {
  const torch::NoGradGuard no_grad;
  BenchCase measured;
  measured.parameters = {{"batch", B},    {"sequences", size.X}, {"in", size.C},
                         {"out", size.O}, {"time", size.S},      {"taps", size.K}};
  const auto library = time_library_conv(size, options, /*input_gradient=*/false, rounds);
  add_times("library, forward", size.flops(), single(library.forward), &measured);
  add_times("library, weight gradient", size.flops(), single(library.weight_gradient), &measured);

  // Trained weights are float32 masters, whatever the activations are.
  const auto wide = options.dtype(torch::kFloat32);
  const auto x_XSC = torch::randn({size.X, size.S, size.C}, options);
  const auto weight_OCK = torch::randn({size.O, size.C, size.K}, wide);
  const auto bias_O = torch::zeros({size.O}, wide);
  const auto dy_XSO = torch::randn({size.X, size.S, size.O}, options);
  const auto forward = spread_of(time_in_flight(
      options.device(), [&] { time_conv_forward(x_XSC, weight_OCK, bias_O, /*relu=*/true); },
      rounds));
  const auto gradient = spread_of(time_in_flight(
      options.device(), [&] { time_conv_weight_gradient(x_XSC, dy_XSO, size.K); }, rounds));
  const std::string ours =
      time_conv_is_fused(x_XSC, size.O, size.K) ? "project's kernel" : "project, by the library";
  add_times(ours + ", forward", size.flops(), forward, &measured);
  add_times(ours + ", weight gradient", size.flops(), gradient, &measured);
  return measured;
}

}  // namespace

void bench_conv(const Config& config, torch::Device device, Report& report) {
  if (config.cache.mixed_slots() == 0)
    throw UserError("cache.policy: only lococo has a convolution to measure");
  const ModelShape shape = effective_shape(config);
  const auto options = torch::dtype(scalar_type_of(config.model.dtype)).device(device);
  const Rounds rounds = {config.bench.warmup, config.bench.repeat};
  for (const int64_t B : config.bench.batch)
    report.add(measure(first_conv(shape, config.cache, B), B, options, rounds));
}

}  // namespace lococo
