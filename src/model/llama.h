// LLaMA (arXiv 2307.09288) with grouped-query attention. Registered names equal Hugging Face's, so
// named_parameters() is the checkpoint's map; the LoCoCo module sits at self_attn.memory_saver as
// in the official code. The model is stateless: caches belong to the pass that runs it.
#pragma once

#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "config/attention_config.h"
#include "config/cache_config.h"
#include "lococo/cache_policy.h"
#include "lococo/cache_state.h"
#include "lococo/step_plan.h"
#include "model/attention.h"
#include "model/layer_range.h"
#include "model/layers.h"
#include "model/linear.h"
#include "model/rope.h"

namespace lococo {

class DecoderLayerImpl : public torch::nn::Module {
 public:
  DecoderLayerImpl(const ModelShape& shape, const CacheConfig& cache, AttentionBackend backend,
                   uint64_t init_seed);

  /// Hidden states [B, L, E]. The feed-forward's output is not added yet: the next layer's norm
  /// does that. `state` is this layer's cache, replaced by the one after the block; nullptr: none.
  DeferredSum forward(const DeferredSum& hidden, const AttentionInput& input, CacheState* state);

  RmsNorm input_layernorm{nullptr};
  SelfAttention self_attn{nullptr};
  RmsNorm post_attention_layernorm{nullptr};
  Mlp mlp{nullptr};
};
TORCH_MODULE(DecoderLayer);

/// Registers layers by their numbers in the whole model, of which it may hold a part.
class LayerListImpl : public torch::nn::Module {
 public:
  void add(int64_t number, const DecoderLayer& layer) {
    register_module(std::to_string(number), layer);
  }
};
TORCH_MODULE(LayerList);

/// The part that Hugging Face names `model`, with the layers of `range`.
class LlamaBodyImpl : public torch::nn::Module {
 public:
  LlamaBodyImpl(const ModelShape& shape, const LayerRange& range, const CacheConfig& cache,
                AttentionBackend backend, uint64_t init_seed);

  Embedding embed_tokens{nullptr};   ///< empty unless the range needs it
  std::vector<DecoderLayer> layers;  ///< of the range
  RmsNorm norm{nullptr};             ///< empty unless the range ends the model
};
TORCH_MODULE(LlamaBody);

/// How a whole sequence goes through the model.
struct WholeSequence {
  /// Keep each layer's input and attention output, recompute the rest in the backward pass
  /// (layer_checkpoint.h).
  bool checkpoint_layers = false;
  /// nullptr: full attention.
  std::shared_ptr<const AttentionPattern> pattern = nullptr;
  /// Of the rows; nullptr: every row is one. Each begins at position 0; with dynamic RoPE scaling
  /// the longest one sets the angles.
  std::shared_ptr<const Documents> documents = nullptr;
  /// With checkpoint_layers: keep no attention output either.
  bool recompute_attention = false;
};

class LlamaImpl : public torch::nn::Module {
 public:
  /// Weights are float32 on the CPU and not initialised; load_hf_weights() or init_random() fills
  /// them. The parameters of a learning cache policy are drawn from `init_seed`, different in every
  /// layer.
  LlamaImpl(const ModelShape& shape, const CacheConfig& cache, const AttentionConfig& attention,
            uint64_t init_seed = 0);
  /// A part of the model: `range` of all_layers(shape). It has the parameters that the whole model
  /// would have there, by their names, and the same values from the same seeds. Of its methods
  /// forward_softly() needs the whole model.
  LlamaImpl(const ModelShape& shape, const LayerRange& range, const CacheConfig& cache,
            const AttentionConfig& attention, uint64_t init_seed);

  /// Normal weights (deviation `stddev`), ones for norms, from `seed`; drawn where each parameter
  /// lies (of quantised ones in float32), so a seed means one model on a CPU and another on a GPU.
  void init_random(double stddev, uint64_t seed);

  /// Adds LoRA to every projection whose name is in `targets` (q_proj ... down_proj). Throws
  /// UserError for another name.
  void add_lora(int64_t rank, double alpha, const std::vector<std::string>& targets, uint64_t seed);

  /// The whole sequence at once: tokens [B, L] int64 -> hidden_BLE after the final norm. A part
  /// that does not begin the model takes hidden states [B, L, E], and one that does not end it
  /// returns them without the final norm.
  torch::Tensor forward(const torch::Tensor& entering, const WholeSequence& how = {});

  /// The whole sequence through the soft form of a cache (train.pass teach): each block's queries
  /// see earlier tokens as far as the policy would have kept them. The policy must have such a
  /// form.
  torch::Tensor forward_softly(const torch::Tensor& tokens_BL, const SoftCache& cache);

  /// One block of a step plan: tokens_BL are tokens [step.begin, step.end) of each sequence;
  /// `caches` holds a state for each layer (all empty before the first block) and is updated.
  /// Gradients do not reach earlier blocks, unless AttentionInput::carry_gradient asks for it. A
  /// part that does not begin the model takes hidden states [B, L, E] in place of tokens, and one
  /// that does not end it returns them without the final norm.
  torch::Tensor forward_block(const torch::Tensor& tokens_BL, const BlockStep& step,
                              std::vector<CacheState>& caches);

  /// The same in two steps: what a block's attention needs beside its tokens (angles that depend on
  /// the block's place; made on `device`), and the block itself.
  AttentionInput block_input(const BlockStep& step, torch::Device device) const;
  torch::Tensor forward_block(const torch::Tensor& tokens_BL, const AttentionInput& input,
                              std::vector<CacheState>& caches);

  /// Angles of all places that a cached token can have while a text of `end` tokens is read, and
  /// `room` tokens more (positions text).
  RopeTable frame_table(int64_t end, int64_t room, torch::Device device) const;

  /// Keeps the projections of all layers in `precision` on `device` from now on, before values are
  /// loaded or drawn; nothing for auto. Replaces the parameters' tensors. `gradients`: quantise().
  void quantise_projections(BasePrecision precision, torch::Device device, bool gradients = false);

  /// The linear layers by the names of their weights, found by a walk through all modules, and
  /// those that quantise_projections() made quantised, which are remembered.
  std::map<std::string, LinearImpl*> linear_layers() const;
  const std::map<std::string, LinearImpl*>& quantised_layers() const { return quantised_; }
  bool is_quantised() const { return !quantised_.empty(); }

  /// LoRA counts (as it does from the beginning), or the base is as it was.
  void use_lora(bool enabled);

  /// Output weights [V, E]: lm_head, or the embedding when tied. The range must end the model.
  torch::Tensor head_weight() const;

  /// Dtype of activations; ParameterRegistry converts what is not trained to it and keeps the rest
  /// in float32.
  void set_compute_dtype(torch::ScalarType dtype) { compute_dtype_ = dtype; }
  torch::ScalarType compute_dtype() const { return compute_dtype_; }

  torch::Device device() const;                       ///< where the model, or this part, lies
  const ModelShape& shape() const { return shape_; }  ///< of the whole model
  const LayerRange& range() const { return range_; }
  const CacheConfig& cache_config() const { return cache_; }
  std::vector<CacheState> empty_caches() const {
    return std::vector<CacheState>(model->layers.size());
  }
  /// The same with a home of C slots, zeros, for B sequences.
  std::vector<CacheState> static_caches(int64_t B, int64_t C, torch::Device device) const;
  /// CachePolicy::prepare of every layer: before the first block of each sequence on such caches.
  void prepare_caches(std::vector<CacheState>& caches);

  LlamaBody model{nullptr};
  Linear lm_head{nullptr};  ///< empty when tied, and where the range does not end the model

 private:
  void check_entering(const torch::Tensor& entering) const;
  torch::Tensor run_layers(const torch::Tensor& entering, const AttentionInput& input,
                           std::vector<CacheState>* caches, const WholeSequence& how = {});

  ModelShape shape_;
  LayerRange range_;
  CacheConfig cache_;
  Rope rope_;
  std::shared_ptr<const AttentionPattern> full_;  ///< for all layers
  mutable RopeTable frame_;                       ///< the last frame_table()
  std::map<std::string, LinearImpl*> quantised_;
  torch::ScalarType compute_dtype_ = torch::kFloat32;
};
TORCH_MODULE(Llama);

}  // namespace lococo
