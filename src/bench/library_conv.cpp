#include "bench/library_conv.h"

#include <ATen/Context.h>
#include <ATen/ops/convolution_backward.h>

#include <algorithm>

namespace lococo {
namespace {

/// cuDNN tries its algorithms and keeps the fastest, as long as this lives.
class AlgorithmSearch {
 public:
  AlgorithmSearch() : before_(at::globalContext().benchmarkCuDNN()) {
    at::globalContext().setBenchmarkCuDNN(true);
  }
  ~AlgorithmSearch() { at::globalContext().setBenchmarkCuDNN(before_); }
  AlgorithmSearch(const AlgorithmSearch&) = delete;
  AlgorithmSearch& operator=(const AlgorithmSearch&) = delete;

 private:
  bool before_;
};

ConvTimes time_layout(const ConvSize& size, torch::TensorOptions options, bool channels_last,
                      bool input_gradient, const Rounds& rounds) {
  const auto place = [&](const torch::Tensor& tensor) {
    if (!channels_last) return tensor;
    return tensor.unsqueeze(/*dim=*/2).contiguous(torch::MemoryFormat::ChannelsLast);
  };
  const auto x = place(torch::randn({size.X, size.C, size.S}, options));
  const auto weight = place(torch::randn({size.O, size.C, size.K}, options));
  const auto dy = place(torch::randn({size.X, size.O, size.S}, options));
  const auto bias = torch::zeros({size.O}, options);
  const int64_t pad = (size.K - 1) / 2;
  const std::vector<int64_t> pads = {0, pad};
  const auto forward = [&] {
    if (channels_last) {
      torch::conv2d(x, weight, bias, /*stride=*/at::IntArrayRef(1),
                    /*padding=*/at::IntArrayRef(pads));
    } else {
      torch::conv1d(x, weight, bias, /*stride=*/1, /*padding=*/pad);
    }
  };
  const auto backward = [&](bool to_input) {
    const std::vector<int64_t> ones(channels_last ? 2 : 1, 1), zeros(channels_last ? 2 : 1, 0);
    const auto padding = channels_last ? pads : std::vector<int64_t>{pad};
    at::convolution_backward(dy, x, weight, /*bias_sizes=*/at::IntArrayRef{size.O}, ones, padding,
                             ones, /*transposed=*/false, zeros, /*groups=*/1,
                             {to_input, !to_input, !to_input});
  };
  const auto median = [&](const std::function<void()>& body) {
    return spread_of(time_in_flight(options.device(), body, rounds)).median;
  };
  ConvTimes times;
  times.forward = median(forward);
  times.weight_gradient = median([&] { backward(/*to_input=*/false); });
  if (input_gradient) times.input_gradient = median([&] { backward(/*to_input=*/true); });
  return times;
}

}  // namespace

ConvTimes time_library_conv(const ConvSize& size, torch::TensorOptions options, bool input_gradient,
                            const Rounds& rounds) {
  const torch::NoGradGuard no_grad;
  const AlgorithmSearch search;
  const auto time_last =
      time_layout(size, options, /*channels_last=*/false, input_gradient, rounds);
  const auto channels_last =
      time_layout(size, options, /*channels_last=*/true, input_gradient, rounds);
  return {std::min(time_last.forward, channels_last.forward),
          std::min(time_last.weight_gradient, channels_last.weight_gradient),
          std::min(time_last.input_gradient, channels_last.input_gradient)};
}

}  // namespace lococo
