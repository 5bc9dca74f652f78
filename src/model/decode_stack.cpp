#include "model/decode_stack.h"

#include "tensor/shape.h"

namespace lococo {
namespace {

torch::Tensor merged(Linear& linear, torch::ScalarType dtype) {
  return (linear->has_lora() ? linear->merged_weight() : linear->weight.detach()).to(dtype);
}

}  // namespace

DecodeStack::DecodeStack(Llama model, int64_t batch, int64_t capacity)
    : model_(std::move(model)),
      B_(batch),
      attention_(
          batch, model_->shape().num_heads, model_->shape().num_kv_heads, capacity,
          model_->shape().head_dim,
          torch::empty({0}, model_->head_weight().options().dtype(model_->compute_dtype()))) {
  torch::NoGradGuard no_grad;
  const auto dtype = model_->compute_dtype();
  for (auto& layer : model_->model->layers) {
    auto& attention = *layer->self_attn;
    auto& mlp = *layer->mlp;
    layers_.push_back({layer->input_layernorm->weight.detach().to(dtype),
                       merged(attention.q_proj, dtype), merged(attention.k_proj, dtype),
                       merged(attention.v_proj, dtype), merged(attention.o_proj, dtype),
                       layer->post_attention_layernorm->weight.detach().to(dtype),
                       merged(mlp.gate_proj, dtype), merged(mlp.up_proj, dtype),
                       merged(mlp.down_proj, dtype)});
  }
  norm_E_ = model_->model->norm->weight.detach().to(dtype);
  head_VE_ = model_->head_weight().detach().to(dtype);
}

SkinnyNorm DecodeStack::norm(const torch::Tensor& weight_E) const {
  return {weight_E, model_->shape().rms_norm_eps};
}

torch::Tensor DecodeStack::forward(const torch::Tensor& tokens_B, std::vector<DecodeCache>& caches,
                                   const DecodePosition& position) {
  torch::NoGradGuard no_grad;
  CHECK_SHAPE(tokens_B, B_);
  TORCH_CHECK(caches.size() == layers_.size(), "want a cache for each layer");
  auto hidden_BE = model_->model->embed_tokens->forward(tokens_B, model_->compute_dtype());
  for (size_t n = 0; n < layers_.size(); ++n)
    hidden_BE = run_layer(layers_[n], hidden_BE, caches[n], position);
  return skinny_linear_wide(hidden_BE, norm(norm_E_), head_VE_);
}

torch::Tensor DecodeStack::run_layer(const Layer& layer, const torch::Tensor& hidden_BE,
                                     DecodeCache& cache, const DecodePosition& position) {
  const auto& shape = model_->shape();
  const int64_t H = shape.num_heads, G = shape.num_kv_heads, D = shape.head_dim;
  const auto qkv = skinny_linear(hidden_BE, norm(layer.input_norm), {layer.q, layer.k, layer.v});
  const auto attended_BHD = attention_.forward(qkv[0].view({B_, H, D}), qkv[1].view({B_, G, D}),
                                               qkv[2].view({B_, G, D}), cache, position);
  const auto between_BE = skinny_linear_add(attended_BHD.view({B_, H * D}), layer.o, hidden_BE);
  const auto gated_BF = skinny_swiglu(between_BE, norm(layer.post_norm), layer.gate, layer.up);
  return skinny_linear_add(gated_BF, layer.down, between_BE);
}

torch::Tensor DecodeStack::logits(const torch::Tensor& hidden_BE) const {
  return skinny_linear_wide(hidden_BE, SkinnyNorm(), head_VE_);
}

}  // namespace lococo
