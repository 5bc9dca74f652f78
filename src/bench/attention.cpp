#include "bench/attention.h"

#include "bench/attention_timing.h"
#include "setup/model_positions.h"
#include "setup/model_setup.h"
#include "tensor/attention/attention.h"
#include "tensor/attention/column_mass.h"

namespace lococo {
namespace {

struct NamedBackend {
  AttentionBackend backend;
  const char* name;
};

std::vector<NamedBackend> backends_of(torch::TensorOptions options) {
  std::vector<NamedBackend> backends = {{AttentionBackend::kAuto, "auto"},
                                        {AttentionBackend::kReference, "reference"},
                                        {AttentionBackend::kFlash, "flash"}};
  if (options.device().is_cuda()) backends.push_back({AttentionBackend::kCudnn, "cudnn"});
  return backends;
}

/// The reference holds every score in float32, several times.
bool fits_reference(const AttentionSize& size) {
  return size.B * size.H * size.L * size.S <= int64_t{1} << 31;
}

void add_times(const std::string& name, const AttentionSize& size, const AttentionTimes& times,
               BenchCase* measured) {
  constexpr double kBackward = 2.5;  // five products against the forward pass's two
  measured->add(name + ", forward", "ms", scaled(times.forward, 1e3));
  measured->add(name + ", forward rate", "TFLOP/s", size.flops() / times.forward.median / 1e12);
  measured->add(name + ", forward and backward", "ms", scaled(times.both, 1e3));
  measured->add(name + ", forward and backward rate", "TFLOP/s",
                (1 + kBackward) * size.flops() / times.both.median / 1e12);
}

void add_column_mass(const AttentionSize& size, torch::TensorOptions options, const Rounds& rounds,
                     BenchCase* measured) {
  const torch::NoGradGuard no_grad;
  const auto q = torch::randn({size.B, size.H, size.L, size.D}, options);
  const auto k = torch::randn({size.B, size.G, size.S, size.D}, options);
  const auto lse = causal_attention(q, k, k, AttentionBackend::kAuto).lse_BHL;
  const auto seconds = time_in_flight(
      options.device(), [&] { column_mass(q, k, lse); }, rounds);
  measured->add("column mass", "ms", scaled(spread_of(seconds), 1e3));
}

BenchCase measure(const AttentionSize& size, torch::TensorOptions options, const Rounds& rounds) {
  BenchCase measured;
  measured.parameters = {{"batch", size.B}, {"queries", size.L}, {"keys", size.S}};
  for (const auto& [backend, name] : backends_of(options)) {
    if (backend == AttentionBackend::kReference && !fits_reference(size)) continue;
    const auto times = time_attention(size, options, backend, rounds);
    if (times) add_times(name, size, *times, &measured);
  }
  if (size.L < size.S) add_column_mass(size, options, rounds, &measured);
  return measured;
}

}  // namespace

void bench_attention(const Config& config, torch::Device device, Report& report) {
  const ModelShape shape = effective_shape(config);
  const auto options = torch::dtype(scalar_type_of(config.model.dtype)).device(device);
  const Rounds rounds = {config.bench.warmup, config.bench.repeat};
  for (const int64_t B : config.bench.batch) {
    AttentionSize size = {B, shape.num_heads, shape.num_kv_heads, 1, 1, shape.head_dim};
    size.L = config.cache.block;
    size.S = config.cache.slots + config.cache.block;
    report.add(measure(size, options, rounds));
    for (const int64_t length : config.bench.contexts) {
      size.L = size.S = length;
      report.add(measure(size, options, rounds));
    }
  }
}

}  // namespace lococo
