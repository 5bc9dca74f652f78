#include "decode/decode_stack.h"

#include "tensor/kit/shape.h"
#include "tensor/layers/swiglu.h"

namespace lococo {
namespace {

std::shared_ptr<CachePolicy> scoring_policy(const SelfAttentionImpl& attention) {
  const auto& policy = attention.memory_saver;
  return policy && policy->needs().score ? policy : nullptr;
}

DecodeAttention attention_for(LlamaImpl& model, int64_t batch, int64_t capacity) {
  const auto& shape = model.shape();
  return {batch,
          shape.num_heads,
          shape.num_kv_heads,
          capacity,
          shape.head_dim,
          torch::empty({0}, torch::dtype(model.compute_dtype()).device(model.device())),
          model.cache_config().score_distance};
}

}  // namespace

DecodeStack::DecodeStack(Llama model, int64_t batch, int64_t capacity)
    : model_(std::move(model)), B_(batch), attention_(attention_for(*model_, batch, capacity)) {
  torch::NoGradGuard no_grad;
  const auto dtype = model_->compute_dtype();
  for (auto& layer : model_->model->layers) layers_.push_back(make_layer(*layer));
  if (!model_->range().ends_model()) return;
  norm_E_ = model_->model->norm->weight.detach().to(dtype);
  head_VE_ = model_->head_weight().detach().to(dtype);
}

void DecodeStack::set_capacity(int64_t capacity) {
  attention_ = attention_for(*model_, B_, capacity);
}

DecodeStack::Layer DecodeStack::make_layer(DecoderLayerImpl& from) const {
  const auto dtype = model_->compute_dtype();
  auto& attention = *from.self_attn;
  auto& mlp = *from.mlp;
  Layer layer;
  layer.scorer = scoring_policy(attention);
  torch::Tensor below;
  const auto* retention = dynamic_cast<const RetentionPolicy*>(layer.scorer.get());
  if (retention != nullptr && has_gate_kernel(dtype, model_->device())) {
    below = gate_rows(*retention->gate, dtype);
    layer.scores = gate_tail(*retention->gate);
    layer.scorer = nullptr;
  }
  layer.input_norm = from.input_layernorm->weight.detach().to(dtype);
  layer.qkv = {{attention.q_proj, attention.k_proj, attention.v_proj}, dtype, below};
  layer.o = {{attention.o_proj}, dtype};
  layer.post_norm = from.post_attention_layernorm->weight.detach().to(dtype);
  layer.gate_up = {{mlp.gate_proj, mlp.up_proj}, dtype};
  layer.down = {{mlp.down_proj}, dtype};
  return layer;
}

SkinnyNorm DecodeStack::norm(const torch::Tensor& weight_E) const {
  return {weight_E, model_->shape().rms_norm_eps};
}

torch::Tensor DecodeStack::forward(const torch::Tensor& entering, std::vector<DecodeCache>& caches,
                                   const DecodePosition& position) {
  torch::NoGradGuard no_grad;
  const LayerRange& part = model_->range();
  TORCH_CHECK(entering.dim() == (part.begins_model() ? 1 : 2) && entering.size(0) == B_,
              "not a token of each row: ", entering.sizes());
  TORCH_CHECK(caches.size() == layers_.size(), "want a cache for each layer");
  auto hidden_BE = part.begins_model()
                       ? model_->model->embed_tokens->forward(entering, model_->compute_dtype())
                       : entering;
  if (layers_.front().qkv.takes_few_rows(hidden_BE)) {
    for (size_t n = 0; n < layers_.size(); ++n)
      hidden_BE = few_rows(layers_[n], hidden_BE, caches[n], position);
    if (!part.ends_model()) return hidden_BE;
    return skinny_linear_wide(hidden_BE, norm(norm_E_), head_VE_);
  }
  DeferredSum hidden = {hidden_BE};
  for (size_t n = 0; n < layers_.size(); ++n)
    hidden = many_rows(layers_[n], hidden, caches[n], position);
  if (!part.ends_model()) return hidden.sum();
  return logits(add_norm(hidden, norm_E_).normed);
}

torch::Tensor DecodeStack::few_rows(const Layer& layer, const torch::Tensor& hidden_BE,
                                    DecodeCache& cache, const DecodePosition& position) {
  if (layer.scorer) {
    note_score(layer, rms_norm(hidden_BE, layer.input_norm, model_->shape().rms_norm_eps), cache,
               position);
  }
  const auto qkv_BO = layer.qkv.product(hidden_BE, norm(layer.input_norm));
  const auto between_BE = layer.o.product_add(attend(layer, qkv_BO, cache, position), hidden_BE);
  const auto gated_BF = layer.gate_up.product_swiglu(between_BE, norm(layer.post_norm));
  return layer.down.product_add(gated_BF, between_BE);
}

DeferredSum DecodeStack::many_rows(const Layer& layer, const DeferredSum& hidden,
                                   DecodeCache& cache, const DecodePosition& position) {
  const auto entered = add_norm(hidden, layer.input_norm);
  if (layer.scorer) note_score(layer, entered.normed, cache, position);
  const auto attended_BE = attend(layer, layer.qkv.product(entered.normed), cache, position);
  const auto between = add_norm({entered.sum, layer.o.product(attended_BE)}, layer.post_norm);
  const auto gate_and_up = layer.gate_up.product(between.normed).chunk(2, /*dim=*/1);
  return {between.sum, layer.down.product(swiglu(gate_and_up[0], gate_and_up[1]))};
}

/// The gate's score of the new token, at its slot.
void DecodeStack::note_score(const Layer& layer, const torch::Tensor& normed_BE, DecodeCache& cache,
                             const DecodePosition& position) const {
  const auto score_BG1 = layer.scorer->score(normed_BE.unsqueeze(1));
  const auto slot_B11 = position.cursor_B2.select(/*dim=*/1, 0).to(torch::kInt64).view({-1, 1, 1});
  cache.score_BGC.scatter_(/*dim=*/2, slot_B11.expand(score_BG1.sizes()),
                           score_BG1.to(torch::kFloat32));
}

/// From all heads' queries, keys and values side by side (and perhaps a gate's part behind them) to
/// the heads' results side by side.
torch::Tensor DecodeStack::attend(const Layer& layer, const torch::Tensor& qkv_BO,
                                  DecodeCache& cache, const DecodePosition& position) {
  const auto& shape = model_->shape();
  const int64_t H = shape.num_heads, G = shape.num_kv_heads, D = shape.head_dim;
  const int64_t heads = (H + 2 * G) * D;
  if (layer.scores.defined()) {
    note_gate_scores(qkv_BO.narrow(/*dim=*/1, heads, qkv_BO.size(1) - heads), layer.scores,
                     position.cursor_B2, cache.score_BGC);
  }
  const auto heads_BND = qkv_BO.narrow(/*dim=*/1, 0, heads).view({B_, H + 2 * G, D});
  const auto attended_BHD =
      attention_.forward(heads_BND.narrow(/*dim=*/1, 0, H), heads_BND.narrow(/*dim=*/1, H, G),
                         heads_BND.narrow(/*dim=*/1, H + G, G), cache, position);
  return attended_BHD.reshape({B_, H * D});
}

AddNorm DecodeStack::add_norm(const DeferredSum& hidden, const torch::Tensor& weight_E) const {
  const double eps = model_->shape().rms_norm_eps;
  const auto& residual = hidden.residual_BLE;
  if (!hidden.delta_BLE.defined()) return {residual, rms_norm(residual, weight_E, eps)};
  return add_rms_norm(residual, hidden.delta_BLE, weight_E, eps);
}

torch::Tensor DecodeStack::logits(const torch::Tensor& hidden_BE) const {
  return skinny_linear_wide(hidden_BE, SkinnyNorm(), head_VE_);
}

}  // namespace lococo
