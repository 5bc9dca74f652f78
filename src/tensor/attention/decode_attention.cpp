#include "tensor/attention/decode_attention.h"

#include <algorithm>
#include <cmath>

#include "tensor/attention/decode_attention_kernel.h"
#include "tensor/kit/kernel_input.h"
#include "tensor/kit/kernel_launch.h"
#include "tensor/kit/shape.h"
#include "tensor/kit/wide.h"

#ifdef LOCOCO_WITH_CUDA
#include <ATen/cuda/CUDAContext.h>
#include <c10/cuda/CUDAGuard.h>
#endif

namespace lococo {
namespace {

/// LLaMA's rotation of the last axis; cos and sin broadcast over x.
torch::Tensor rotate(const torch::Tensor& x, const torch::Tensor& cos, const torch::Tensor& sin) {
  const auto wide = x.to(wide_of(x));
  const auto halves = wide.chunk(2, /*dim=*/-1);
  const auto turned = torch::cat({-halves[1], halves[0]}, /*dim=*/-1);
  return (wide * cos + turned * sin).to(x.scalar_type());
}

#ifdef LOCOCO_WITH_CUDA
/// Keys of one split: few enough to occupy the machine when there are few heads and sequences, and
/// not so few that merging the splits costs more than it gives.
int64_t choose_keys_per_split(const torch::Device& device, int64_t pairs, int64_t C) {
  constexpr int64_t kFewest = 32, kMost = 256, kBlocksPerProcessor = 2;
  const int64_t processors = at::cuda::getDeviceProperties(device.index())->multiProcessorCount;
  const auto parts_of = [&](int64_t keys) { return (C + keys - 1) / keys; };
  const int64_t splits =
      std::clamp(kBlocksPerProcessor * processors / pairs, parts_of(kMost), parts_of(kFewest));
  return (parts_of(splits) + 15) / 16 * 16;
}

bool is_new_token(const torch::Tensor& x_BHD) {
  return x_BHD.stride(2) == 1 && (x_BHD.size(1) == 1 || x_BHD.stride(1) == x_BHD.size(2)) &&
         (x_BHD.size(0) == 1 || x_BHD.stride(0) % 8 == 0) && is_aligned(x_BHD);
}

/// Slots between the heads of contiguous memory of which x_BGCx is the first C slots; each slot is
/// `width` numbers.
int64_t home_slots_of(const torch::Tensor& x, int64_t width) {
  const int64_t G = x.size(1), C = x.size(2), head = x.stride(1);
  const bool fits = x.stride(2) == width && head % width == 0 && head >= C * width &&
                    (x.size(0) == 1 || x.stride(0) == G * head) &&
                    (x.dim() == 3 || x.stride(3) == 1);
  TORCH_CHECK(fits, "want the first slots of contiguous memory, got strides ", x.strides());
  return head / width;
}

/// Refuses what a kernel cannot read; returns the slots between two heads of the cache and of what
/// lies beside it.
int64_t check_layout(const torch::Tensor& q_BHD, const torch::Tensor& k_BGD,
                     const torch::Tensor& v_BGD, const DecodeCache& cache,
                     const DecodePosition& position) {
  for (const auto& tensor : {q_BHD, k_BGD, v_BGD, cache.k_BGCD, cache.v_BGCD})
    TORCH_CHECK(tensor.is_cuda() && tensor.scalar_type() == torch::kBFloat16,
                "want bfloat16 tensors on a GPU");
  const int64_t B = q_BHD.size(0), G = cache.k_BGCD.size(1), C = cache.k_BGCD.size(2);
  TORCH_CHECK(is_new_token(q_BHD) && is_new_token(k_BGD) && is_new_token(v_BGD) &&
                  (B == 1 || k_BGD.stride(0) == v_BGD.stride(0)),
              "want aligned sequences of heads side by side, and values strided like keys");
  const int64_t home_slots = home_slots_of(cache.k_BGCD, cache.k_BGCD.size(3));
  const auto lies_alike = [&](const torch::Tensor& x, int64_t width) {
    return home_slots_of(x, width) == home_slots;
  };
  TORCH_CHECK(lies_alike(cache.v_BGCD, cache.v_BGCD.size(3)), "want values strided like keys");
  TORCH_CHECK(position.cos_RXD.is_contiguous() && position.sin_RXD.is_contiguous() &&
                  position.cursor_B2.is_contiguous() &&
                  position.cursor_B2.scalar_type() == torch::kInt32,
              "want contiguous tables and an int32 cursor");
  if (cache.mass_BGC.defined()) {
    CHECK_SHAPE(cache.mass_BGC, B, G, C);
    TORCH_CHECK(lies_alike(cache.mass_BGC, 1), "want a mass strided like keys");
  }
  if (cache.place_BGC.defined()) {
    CHECK_SHAPE(cache.place_BGC, B, G, C);
    TORCH_CHECK(position.rotate_cache && lies_alike(cache.place_BGC, 1),
                "want keys before RoPE and places strided like keys");
  }
  return home_slots;
}

/// What both kernels read and write, but for the result.
DecodeAttentionTensors pointers_of(const torch::Tensor& q_BHD, const torch::Tensor& k_BGD,
                                   const torch::Tensor& v_BGD, DecodeCache& cache,
                                   const DecodePosition& position) {
  DecodeAttentionTensors tensors = {};
  tensors.q = q_BHD.const_data_ptr();
  tensors.k = k_BGD.const_data_ptr();
  tensors.v = v_BGD.const_data_ptr();
  tensors.k_cache = cache.k_BGCD.data_ptr();
  tensors.v_cache = cache.v_BGCD.data_ptr();
  tensors.cos = position.cos_RXD.const_data_ptr<float>();
  tensors.sin = position.sin_RXD.const_data_ptr<float>();
  tensors.cursor = position.cursor_B2.const_data_ptr<int>();
  if (cache.mass_BGC.defined()) tensors.mass = cache.mass_BGC.data_ptr<float>();
  if (cache.place_BGC.defined()) tensors.places = cache.place_BGC.data_ptr<int>();
  return tensors;
}
#endif

}  // namespace

torch::Tensor decode_attention_reference(const torch::Tensor& q_BHD, const torch::Tensor& k_BGD,
                                         const torch::Tensor& v_BGD, DecodeCache& cache,
                                         const DecodePosition& position, int64_t distance) {
  torch::NoGradGuard no_grad;
  const int64_t B = q_BHD.size(0), H = q_BHD.size(1), D = q_BHD.size(2);
  const int64_t G = cache.k_BGCD.size(1), C = cache.k_BGCD.size(2);
  const auto wide = wide_of(q_BHD);
  const auto slot_B11 = position.cursor_B2.select(/*dim=*/1, 0).to(torch::kInt64).view({B, 1, 1});
  const auto row_B11 = position.cursor_B2.select(/*dim=*/1, 1).to(torch::kInt64).view({B, 1, 1});
  const auto angles_of = [&](const torch::Tensor& table_RXD) {
    return table_RXD.expand({B, -1, -1}).gather(/*dim=*/1, row_B11.expand({B, 1, D}));
  };
  const auto cos_B1D = angles_of(position.cos_RXD), sin_B1D = angles_of(position.sin_RXD);

  const auto new_key = position.rotate_cache ? k_BGD : rotate(k_BGD, cos_B1D, sin_B1D);
  const auto to_slot = slot_B11.unsqueeze(-1).expand({B, G, 1, D});
  cache.k_BGCD.scatter_(/*dim=*/2, to_slot, new_key.unsqueeze(2));
  cache.v_BGCD.scatter_(/*dim=*/2, to_slot, v_BGD.unsqueeze(2));
  if (cache.place_BGC.defined()) {
    cache.place_BGC.scatter_(/*dim=*/2, slot_B11.expand({B, G, 1}),
                             row_B11.to(torch::kInt32).expand({B, G, 1}));
  }
  const auto angles_at = [&](const torch::Tensor& table_RXD) {
    if (!cache.place_BGC.defined()) return table_RXD[0].narrow(/*dim=*/0, 0, C);
    const auto rows = cache.place_BGC.reshape({-1}).to(torch::kInt64);
    return table_RXD[0].index_select(/*dim=*/0, rows).view({B, G, C, D});
  };
  const auto keys = position.rotate_cache ? rotate(cache.k_BGCD, angles_at(position.cos_RXD),
                                                   angles_at(position.sin_RXD))
                                          : cache.k_BGCD;

  const double scale = 1.0 / std::sqrt(static_cast<double>(D));
  const auto q_BGRD = rotate(q_BHD, cos_B1D, sin_B1D).view({B, G, H / G, D}).to(wide);
  auto scores = torch::matmul(q_BGRD, keys.to(wide).transpose(-1, -2)) * scale;
  const auto slots_C = torch::arange(C, slot_B11.options());
  scores.masked_fill_((slots_C > slot_B11).unsqueeze(1), -INFINITY);
  const auto weights = torch::softmax(scores, /*dim=*/-1);
  if (cache.mass_BGC.defined()) {
    cache.mass_BGC.masked_fill_(slots_C == slot_B11, 0.0)
        .add_(weights.sum(/*dim=*/2).masked_fill_(slots_C + distance > slot_B11, 0.0));
  }
  const auto out_BGRD = torch::matmul(weights, cache.v_BGCD.to(wide));
  return out_BGRD.view({B, H, D}).to(q_BHD.scalar_type());
}

DecodeAttention::DecodeAttention(int64_t B, int64_t H, int64_t G, int64_t C, int64_t D,
                                 const torch::Tensor& like, int64_t distance, DecodeKernel kernel)
    : B_(B), H_(H), G_(G), C_(C), D_(D), distance_(distance), kernel_(kernel) {
  TORCH_CHECK(H % G == 0, "query heads H=", H, " must be a multiple of key-value heads G=", G);
#ifdef LOCOCO_WITH_CUDA
  has_kernel_ = like.is_cuda() && like.scalar_type() == torch::kBFloat16 &&
                decode_attention_supports(H / G, D);
  if (!has_kernel_) return;
  const c10::cuda::CUDAGuard guard(like.device());
  if (kernel != DecodeKernel::Parts)
    clusters_ = plan_decode_clusters(kernel_shape(/*rotate_cache=*/true));
  if (uses_clusters(/*rotate_cache=*/true) && uses_clusters(/*rotate_cache=*/false)) return;
  keys_per_split_ = choose_keys_per_split(like.device(), B * G, C);
  const int64_t splits = (C + keys_per_split_ - 1) / keys_per_split_;
  const auto floats = like.options().dtype(torch::kFloat32);
  scores_BHC_ = torch::empty({B, H, C}, floats);
  partial_ = torch::empty({B * G, splits, H / G, D}, floats);
  statistics_ = torch::empty({B * G, splits, H / G, 2}, floats);
  arrivals_ = torch::zeros({B * G}, like.options().dtype(torch::kInt32));
#else
  (void)like;
#endif
}

bool DecodeAttention::uses_clusters(bool rotate_cache) const {
#ifdef LOCOCO_WITH_CUDA
  if (kernel_ == DecodeKernel::Clusters) return clusters_.cluster > 0;
  return is_faster_in_clusters(kernel_shape(rotate_cache), clusters_);
#else
  (void)rotate_cache;
  return false;
#endif
}

/// Without what goes by the tensors of a call.
DecodeAttentionShape DecodeAttention::kernel_shape(bool rotate_cache) const {
  DecodeAttentionShape shape = {};
  shape.batch = static_cast<int>(B_);
  shape.kv_heads = static_cast<int>(G_);
  shape.group = static_cast<int>(H_ / G_);
  shape.capacity = static_cast<int>(C_);
  shape.head_dim = static_cast<int>(D_);
  shape.keys_per_split = static_cast<int>(keys_per_split_);
  shape.distance = static_cast<int>(std::min(distance_, C_));
  shape.rotate_cache = rotate_cache;
  return shape;
}

torch::Tensor DecodeAttention::forward(const torch::Tensor& q_BHD, const torch::Tensor& k_BGD,
                                       const torch::Tensor& v_BGD, DecodeCache& cache,
                                       const DecodePosition& position) {
  CHECK_SHAPE(q_BHD, B_, H_, D_);
  CHECK_SHAPE(k_BGD, B_, G_, D_);
  CHECK_SHAPE(v_BGD, B_, G_, D_);
  CHECK_SHAPE(cache.k_BGCD, B_, G_, C_, D_);
  CHECK_SHAPE(cache.v_BGCD, B_, G_, C_, D_);
  CHECK_SHAPE(position.cursor_B2, B_, 2);
  CHECK_SHAPE(position.cos_RXD, -1, -1, D_);
  const int64_t R = position.cos_RXD.size(0), X = position.cos_RXD.size(1);
  CHECK_SHAPE(position.sin_RXD, R, X, D_);
  TORCH_CHECK(R == 1 || R == B_, "want angles of R=1 or R=", B_, " sequences, got R=", R);
  const bool by_slot = position.rotate_cache && !cache.place_BGC.defined();
  TORCH_CHECK(!position.rotate_cache || R == 1, "want one table for keys that are not turned yet");
  TORCH_CHECK(!by_slot || X >= C_, "want one table of all slots");
  if (has_kernel_) return forward_kernel(q_BHD, k_BGD, v_BGD, cache, position);
  return decode_attention_reference(q_BHD, k_BGD, v_BGD, cache, position, distance_);
}

torch::Tensor DecodeAttention::forward_kernel(const torch::Tensor& q_BHD,
                                              const torch::Tensor& k_BGD,
                                              const torch::Tensor& v_BGD, DecodeCache& cache,
                                              const DecodePosition& position) {
#ifdef LOCOCO_WITH_CUDA
  const int64_t home_slots = check_layout(q_BHD, k_BGD, v_BGD, cache, position);
  const bool clusters = uses_clusters(position.rotate_cache);
  auto out_BHD = torch::empty(q_BHD.sizes(), q_BHD.options());
  auto tensors = pointers_of(q_BHD, k_BGD, v_BGD, cache, position);
  tensors.out = out_BHD.data_ptr();
  if (!clusters) {
    if (tensors.mass != nullptr) tensors.scores = scores_BHC_.data_ptr<float>();
    tensors.partial = partial_.data_ptr<float>();
    tensors.statistics = statistics_.data_ptr<float>();
    tensors.arrivals = reinterpret_cast<unsigned*>(arrivals_.data_ptr<int>());
  }
  DecodeAttentionShape shape = kernel_shape(position.rotate_cache);
  shape.home_slots = static_cast<int>(home_slots);
  shape.q_stride = static_cast<int>(q_BHD.stride(0));
  shape.kv_stride = static_cast<int>(k_BGD.stride(0));
  shape.overlap = at::cuda::getDeviceProperties(q_BHD.get_device())->major >= 9;
  const bool own_tables = position.cos_RXD.size(0) > 1;
  shape.table_stride = own_tables ? static_cast<int>(position.cos_RXD.stride(0)) : 0;
  launch_on(q_BHD, [&](CUstream_st* stream) {
    if (clusters) {
      launch_decode_clusters(tensors, shape, clusters_, stream);
    } else {
      launch_decode_attention(tensors, shape, stream);
    }
  });
  return out_BHD;
#else
  (void)position;
  (void)k_BGD;
  (void)v_BGD;
  (void)cache;
  TORCH_CHECK(false, "this build has no CUDA; q is on ", q_BHD.device());
#endif
}

}  // namespace lococo
