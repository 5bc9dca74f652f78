#include "bench/hardware_limit.h"

#include <torch/autograd.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

#include "bench/attention_timing.h"
#include "bench/library_conv.h"
#include "bench/timing.h"
#include "tensor/frozen/fp8.h"

namespace lococo {
namespace {

double median_in_flight(torch::Device device, const std::function<void()>& body) {
  return spread_of(time_in_flight(device, body)).median;
}

/// One product y = x W' and its gradients, into buffers that exist (of 8 bits: into new ones).
struct Product {
  torch::Tensor x_XI, weight_OI, y_XO, dx_XI, dweight_OI;
  Fp8Matrix fp8;  ///< instead, with both inputs
  Fp8Rows fp8_x_XI, fp8_dy_XO;

  void run(bool weight_gradient) {
    if (fp8.defined()) {
      fp8_product(fp8_x_XI, fp8);
      fp8_input_gradient(fp8_dy_XO, fp8);
      return;
    }
    at::mm_out(y_XO, x_XI, weight_OI.t());
    at::mm_out(dx_XI, y_XO, weight_OI);
    if (weight_gradient) at::mm_out(dweight_OI, y_XO.t(), x_XI);
  }
};

/// Products share activations by width, as they may: only weights must not stay in the cache.
class Products {
 public:
  Products(int64_t rows, torch::TensorOptions options, bool fp8 = false)
      : rows_(rows), options_(options), fp8_(fp8) {}

  Product make(int64_t in, int64_t out, bool weight_gradient) {
    Product product;
    if (fp8_ && fp8_takes(activation(in), out, in)) {
      product.fp8 = fp8_quantise(torch::randn({out, in}, options_).mul_(0.02), /*gradients=*/true);
      product.fp8_x_XI = quantised(in);
      product.fp8_dy_XO = quantised(out);
      return product;
    }
    product.x_XI = activation(in);
    product.y_XO = gradient(out);
    product.dx_XI = gradient(in);
    product.weight_OI = torch::randn({out, in}, options_).mul_(0.02);
    if (weight_gradient) product.dweight_OI = torch::empty({out, in}, options_);
    return product;
  }

 private:
  torch::Tensor activation(int64_t width) {
    auto& tensor = activations_[width];
    if (!tensor.defined()) tensor = torch::randn({rows_, width}, options_);
    return tensor;
  }
  const Fp8Rows& quantised(int64_t width) {
    auto& rows = quantised_[width];
    if (!rows.codes_XE.defined()) rows = fp8_rows(activation(width));
    return rows;
  }
  torch::Tensor gradient(int64_t width) {
    auto& tensor = gradients_[width];
    if (!tensor.defined()) tensor = torch::empty({rows_, width}, options_);
    return tensor;
  }

  int64_t rows_;
  torch::TensorOptions options_;
  bool fp8_;
  std::map<int64_t, torch::Tensor> activations_, gradients_;
  std::map<int64_t, Fp8Rows> quantised_;
};

/// The projections of one layer as (inputs, outputs).
std::vector<std::pair<int64_t, int64_t>> projections(const ModelShape& shape) {
  const int64_t E = shape.hidden_size, F = shape.intermediate_size;
  const int64_t Q = shape.num_heads * shape.head_dim, KV = shape.num_kv_heads * shape.head_dim;
  return {{E, Q}, {E, KV}, {E, KV}, {Q, E}, {E, F}, {E, F}, {F, E}};
}

void measure_gemms(const ModelShape& shape, const LimitWork& work, HardwareLimit* limit) {
  constexpr double kColdBytes = 256e6;  // several times the L2 cache of any GPU
  constexpr double kMostCopies = 64;
  const int64_t X = work.batch * work.step.length();
  double weights = 0;
  for (const auto& [in, out] : projections(shape))
    weights += static_cast<double>(in) * static_cast<double>(out);
  const double bytes = weights * static_cast<double>(work.options.dtype().itemsize());
  const bool cold = work.options.device().is_cuda();
  const auto copies = static_cast<int64_t>(
      cold ? std::clamp(std::ceil(kColdBytes / bytes), 1.0, kMostCopies) : 1.0);
  Products products(X, work.options, work.precision == BasePrecision::kFp8);
  std::vector<Product> layers;
  for (int64_t i = 0; i < copies; ++i) {
    for (const auto& [in, out] : projections(shape))
      layers.push_back(products.make(in, out, work.base_trained));
  }
  const double seconds = median_in_flight(work.options.device(), [&] {
    for (Product& product : layers) product.run(work.base_trained);
  });
  limit->gemm_seconds = seconds / static_cast<double>(copies);
  limit->gemm_flops = 2.0 * static_cast<double>(X) * weights * (work.base_trained ? 3 : 2);
}

void measure_head(const ModelShape& shape, const LimitWork& work, HardwareLimit* limit) {
  const int64_t X = work.batch * work.step.length();
  const int64_t rows = std::min(X, work.loss_rows);
  Products products(rows, work.options);
  auto head = products.make(shape.hidden_size, shape.vocab_size, work.base_trained);
  const double seconds =
      median_in_flight(work.options.device(), [&] { head.run(work.base_trained); });
  limit->head_seconds = seconds * static_cast<double>(X) / static_cast<double>(rows);
}

void measure_conv(const ModelShape& shape, const CacheConfig& cache, const LimitWork& work,
                  HardwareLimit* limit) {
  const int64_t R = cache.mixed_slots();
  if (R == 0 || !work.step.compress) return;
  for (int64_t i = 0; i < cache.conv_layers; ++i) {
    ConvSize size;
    size.X = work.batch * shape.num_kv_heads;
    size.C = i == 0 ? 2 * shape.head_dim : R * cache.expand;
    size.O = i == cache.conv_layers - 1 ? R : R * cache.expand;
    size.S = work.step.cached - cache.kept_slots();
    size.K = cache.kernel_size;
    const bool inner = work.conv_trained && i > 0;
    const auto times = time_library_conv(size, work.options, /*input_gradient=*/inner);
    limit->conv_seconds += times.forward;
    limit->conv_flops += size.flops();
    if (work.conv_trained) {
      limit->conv_seconds += times.weight_gradient + times.input_gradient;
      limit->conv_flops += size.flops() * (inner ? 2 : 1);
    }
  }
}

}  // namespace

double HardwareLimit::total() const {
  return static_cast<double>(layers) * (gemm_seconds + attention_seconds + conv_seconds) +
         head_seconds;
}

double HardwareLimit::total_with_conv_at_gemm_rate() const {
  return total() - static_cast<double>(layers) * (conv_seconds - conv_flops / gemm_rate());
}

HardwareLimit measure_hardware_limit(const ModelShape& shape, const CacheConfig& cache,
                                     const LimitWork& work) {
  HardwareLimit limit;
  limit.layers = shape.num_layers;
  {
    const torch::NoGradGuard no_grad;
    measure_gemms(shape, work, &limit);
    measure_head(shape, work, &limit);
    measure_conv(shape, cache, work, &limit);
  }
  const AttentionSize size = {work.batch,         shape.num_heads,      shape.num_kv_heads,
                              work.step.length(), work.step.attended(), shape.head_dim};
  limit.attention_seconds = std::numeric_limits<double>::infinity();
  for (const AttentionBackend backend : library_backends(work.options)) {
    const auto times = time_attention(size, work.options, backend);
    if (times) limit.attention_seconds = std::min(limit.attention_seconds, times->both.median);
  }
  TORCH_CHECK(std::isfinite(limit.attention_seconds), "no attention of the library ran");
  return limit;
}

MachineRates measure_machine_rates(torch::TensorOptions options) {
  const torch::NoGradGuard no_grad;
  const bool gpu = options.device().is_cuda();
  const int64_t n = gpu ? 8192 : 512;
  MachineRates rates;
  {
    const auto a = torch::randn({n, n}, options), b = torch::randn({n, n}, options);
    auto c = torch::empty({n, n}, options);
    const double seconds = median_in_flight(options.device(), [&] { at::mm_out(c, a, b.t()); });
    const auto size = static_cast<double>(n);
    rates.gemm_flops_per_second = 2.0 * size * size * size / seconds;
  }
  const int64_t bytes = int64_t{1} << (gpu ? 30 : 26);
  const auto from = torch::zeros({bytes}, options.dtype(torch::kUInt8));
  auto to = torch::empty_like(from);
  const double seconds = median_in_flight(options.device(), [&] { to.copy_(from); });
  rates.copy_bytes_per_second = 2.0 * static_cast<double>(bytes) / seconds;
  return rates;
}

}  // namespace lococo
