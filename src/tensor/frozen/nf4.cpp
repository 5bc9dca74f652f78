#include "tensor/frozen/nf4.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <mutex>
#include <utility>
#include <vector>

#include "tensor/frozen/nf4_kernel.h"
#include "tensor/frozen/nf4_tables.h"
#include "tensor/kit/kernel_input.h"
#include "tensor/kit/kernel_launch.h"
#include "tensor/kit/shape.h"
#include "tensor/kit/torch.h"

namespace lococo {
namespace {

using torch::Tensor;

constexpr int64_t kBlock = 64, kGroup = 256;
constexpr int64_t kChunk = int64_t{1} << 15;  ///< blocks that are worked on at one time
/// Under it a block counts as zeros.
constexpr double kSmallest = 1e-38;

/// Quantiles of the normal distribution between -1 and 1, with an exact zero (arXiv 2305.14314,
/// appendix E).
constexpr std::array<float, 16> kValues = {
    -1.0F,
    -0.6961928009986877F,
    -0.5250730514526367F,
    -0.39491748809814453F,
    -0.28444138169288635F,
    -0.18477343022823334F,
    -0.09105003625154495F,
    0.0F,
    0.07958029955625534F,
    0.16093020141124725F,
    0.24611230194568634F,
    0.33791524171829224F,
    0.44070982933044434F,
    0.5626170039176941F,
    0.7229568362236023F,
    1.0F,
};

/// The 256 values of a signed 8-bit dynamic tree, ascending: for each of 7 powers of ten, the
/// centres of 1, 2, .. 64 equal parts of [0.1, 1]; their negatives; 0 and 1.
Tensor dynamic_tree() {
  std::vector<Tensor> parts = {torch::zeros({1}), torch::ones({1})};
  for (int power = 0; power < 7; ++power) {
    const auto edges = torch::linspace(0.1, 1.0, (int64_t{1} << power) + 1, torch::kFloat32);
    const int64_t count = edges.size(0) - 1;
    const auto centres = (edges.narrow(0, 0, count) + edges.narrow(0, 1, count)) / 2.0;
    parts.push_back(centres * std::pow(10.0, power - 6));
    parts.push_back(-parts.back());
  }
  return std::get<0>(torch::sort(torch::cat(parts)));
}

Tensor middles(const Tensor& ascending) {
  const int64_t count = ascending.size(0) - 1;
  return (ascending.narrow(0, 0, count) + ascending.narrow(0, 1, count)) / 2.0;
}

/// Made once on each device and never freed: a CUDA graph that is recorded later holds their
/// addresses, and at the end of the process the GPU's allocator may be gone before them.
struct Tables {
  Tensor values_16, value_middles, tree_256, tree_middles;
  Tensor pairs;  ///< float32 [256, 2]: the two values of a byte
};

Tables make_tables(torch::Device device) {
  const auto values = torch::tensor(at::ArrayRef<float>(kValues.data(), kValues.size()));
  const auto tree = dynamic_tree();
  const auto first = values.repeat_interleave(16), second = values.repeat({16});
  return {values.to(device), middles(values).to(device), tree.to(device), middles(tree).to(device),
          torch::stack({first, second}, /*dim=*/1).to(device)};
}

const Tables& tables_on(torch::Device device) {
  static std::mutex mutex;
  static auto& made = *new std::map<std::pair<torch::DeviceType, int>, Tables>();
  const std::lock_guard lock(mutex);
  const auto key = std::make_pair(device.type(), static_cast<int>(device.index()));
  auto found = made.find(key);
  if (found == made.end()) found = made.emplace(key, make_tables(device)).first;
  return found->second;
}

int64_t parts_of(int64_t count, int64_t size) { return (count + size - 1) / size; }

/// Rows of `width` values, the last one filled up with zeros.
Tensor in_rows(const Tensor& values, int64_t width) {
  const int64_t missing = parts_of(values.numel(), width) * width - values.numel();
  const auto flat = values.flatten();
  return (missing > 0 ? torch::constant_pad_nd(flat, {0, missing}) : flat).view({-1, width});
}

struct Coded {
  Tensor codes;   ///< uint8, of the shape of the values
  Tensor scales;  ///< float32, of each row
};

/// Each row in parts of its largest magnitude, as the nearest values between `middles`; the lower
/// one of two equally near.
Coded nearest(const Tensor& rows, const Tensor& middles) {
  const auto scales = rows.abs().amax(/*dim=*/1);
  const auto parts = (rows * scales.clamp_min(kSmallest).reciprocal().unsqueeze(1)).clamp(-1, 1);
  return {torch::bucketize(parts, middles, /*out_int32=*/true).to(torch::kUInt8), scales};
}

/// [O, E] of rows of whole blocks.
Tensor without_filling(const Tensor& blocks, const Nf4Matrix& matrix) {
  return blocks.flatten()
      .narrow(/*dim=*/0, 0, matrix.elements())
      .view({matrix.out_features, matrix.in_features});
}

#ifdef LOCOCO_WITH_CUDA

constexpr int64_t kMostBlocks = (int64_t{1} << 28) - 1;

bool kernel_takes(const Nf4Matrix& matrix, torch::ScalarType dtype) {
  const int64_t blocks = matrix.scale_codes_S.numel();
  return matrix.codes_P.is_cuda() && (dtype == torch::kBFloat16 || dtype == torch::kFloat32) &&
         blocks > 0 && blocks <= kMostBlocks && is_aligned(matrix.codes_P);
}

Tensor run_kernel(const Nf4Matrix& matrix, torch::ScalarType dtype) {
  const auto& tables = tables_on(matrix.codes_P.device());
  Nf4Input input;
  input.codes = matrix.codes_P.const_data_ptr<uint8_t>();
  input.scale_codes = matrix.scale_codes_S.const_data_ptr<uint8_t>();
  input.group_scales = matrix.group_scales_T.const_data_ptr<float>();
  input.offset = matrix.offset.const_data_ptr<float>();
  input.values_16 = tables.values_16.const_data_ptr<float>();
  input.tree_256 = tables.tree_256.const_data_ptr<float>();
  input.blocks = matrix.scale_codes_S.numel();
  auto result = torch::empty({input.blocks, kBlock}, matrix.codes_P.options().dtype(dtype));
  launch_on(result, [&](CUstream_st* stream) {
    launch_nf4_dequantise(input, result.data_ptr(), element_type_of(result), stream);
  });
  return without_filling(result, matrix);
}

#endif

}  // namespace

Nf4Tables nf4_tables(torch::Device device) {
  const auto& tables = tables_on(device);
  return {tables.values_16, tables.tree_256};
}

int64_t nf4_bytes(int64_t elements) {
  const int64_t blocks = parts_of(elements, kBlock);
  return blocks * (kBlock / 2 + 1) + (parts_of(blocks, kGroup) + 1) * int64_t{sizeof(float)};
}

Nf4Matrix nf4_quantise(const Tensor& values_OE) {
  torch::NoGradGuard no_grad;
  CHECK_SHAPE(values_OE, -1, -1);
  const auto& tables = tables_on(values_OE.device());
  const auto flat = values_OE.detach().contiguous().flatten();
  const int64_t blocks = parts_of(flat.numel(), kBlock);
  Nf4Matrix result;
  result.out_features = values_OE.size(0);
  result.in_features = values_OE.size(1);
  result.codes_P = torch::empty({blocks * kBlock / 2}, flat.options().dtype(torch::kUInt8));
  auto scales_S = torch::empty({blocks}, flat.options().dtype(torch::kFloat32));
  for (int64_t begin = 0; begin < blocks; begin += kChunk) {
    const int64_t count = std::min(kChunk, blocks - begin);
    const int64_t size = std::min(count * kBlock, flat.numel() - begin * kBlock);
    const auto values = flat.narrow(/*dim=*/0, begin * kBlock, size).to(torch::kFloat32);
    const auto coded = nearest(in_rows(values, kBlock), tables.value_middles);
    const auto pairs = coded.codes.view({-1, 2});
    result.codes_P.narrow(/*dim=*/0, begin * kBlock / 2, pairs.size(0))
        .copy_(pairs.select(/*dim=*/1, 0) * 16 + pairs.select(/*dim=*/1, 1));
    scales_S.narrow(/*dim=*/0, begin, count).copy_(coded.scales);
  }
  result.offset = scales_S.mean();
  const auto coded = nearest(in_rows(scales_S - result.offset, kGroup), tables.tree_middles);
  result.scale_codes_S = coded.codes.flatten().narrow(/*dim=*/0, 0, blocks).clone();
  result.group_scales_T = coded.scales;
  return result;
}

Tensor nf4_scales(const Nf4Matrix& matrix) {
  torch::NoGradGuard no_grad;
  const auto& tables = tables_on(matrix.codes_P.device());
  const int64_t blocks = matrix.scale_codes_S.size(0);
  const auto parts =
      tables.tree_256.index_select(/*dim=*/0, matrix.scale_codes_S.to(torch::kInt32));
  const auto scales = in_rows(parts, kGroup) * matrix.group_scales_T.unsqueeze(1);
  return scales.flatten().narrow(/*dim=*/0, 0, blocks) + matrix.offset;
}

Tensor nf4_dequantise(const Nf4Matrix& matrix, torch::ScalarType dtype) {
#ifdef LOCOCO_WITH_CUDA
  if (kernel_takes(matrix, dtype)) return run_kernel(matrix, dtype);
#endif
  return nf4_dequantise_reference(matrix, dtype);
}

Tensor nf4_dequantise_reference(const Nf4Matrix& matrix, torch::ScalarType dtype) {
  torch::NoGradGuard no_grad;
  const auto& tables = tables_on(matrix.codes_P.device());
  const auto scales_S = nf4_scales(matrix);
  const int64_t blocks = scales_S.size(0);
  auto result = torch::empty({blocks, kBlock}, scales_S.options().dtype(dtype));
  for (int64_t begin = 0; begin < blocks; begin += kChunk) {
    const int64_t count = std::min(kChunk, blocks - begin);
    const auto codes = matrix.codes_P.narrow(/*dim=*/0, begin * kBlock / 2, count * kBlock / 2);
    const auto values = tables.pairs.index_select(/*dim=*/0, codes.to(torch::kInt32));
    result.narrow(/*dim=*/0, begin, count)
        .copy_(values.view({count, kBlock}) *
               scales_S.narrow(/*dim=*/0, begin, count).unsqueeze(1));
  }
  return without_filling(result, matrix);
}

}  // namespace lococo
