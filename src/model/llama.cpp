#include "model/llama.h"

#include <ATen/Context.h>

#include <algorithm>
#include <bit>

#include "core/error.h"
#include "core/hash.h"
#include "core/projections.h"
#include "model/layer_checkpoint.h"
#include "model/parameter_kind.h"
#include "model/parameter_list.h"
#include "tensor/kit/shape.h"

namespace lococo {

DecoderLayerImpl::DecoderLayerImpl(const ModelShape& shape, const CacheConfig& cache,
                                   AttentionBackend backend, uint64_t init_seed) {
  input_layernorm =
      register_module("input_layernorm", RmsNorm(shape.hidden_size, shape.rms_norm_eps));
  self_attn = register_module("self_attn", SelfAttention(shape, cache, backend, init_seed));
  post_attention_layernorm =
      register_module("post_attention_layernorm", RmsNorm(shape.hidden_size, shape.rms_norm_eps));
  mlp = register_module("mlp", Mlp(shape.hidden_size, shape.intermediate_size));
}

DeferredSum DecoderLayerImpl::forward(const DeferredSum& hidden, const AttentionInput& input,
                                      CacheState* state) {
  const auto entered = input_layernorm->add_norm(hidden);
  const auto attended = post_attention_layernorm->add_norm(
      {entered.sum, self_attn->forward(entered.normed, input, state)});
  return {attended.sum, mlp->forward(attended.normed)};
}

LlamaBodyImpl::LlamaBodyImpl(const ModelShape& shape, const LayerRange& range,
                             const CacheConfig& cache, AttentionBackend backend,
                             uint64_t init_seed) {
  if (!range.is_elsewhere("model.embed_tokens.weight"))
    embed_tokens = register_module("embed_tokens", Embedding(shape.vocab_size, shape.hidden_size));
  auto list = register_module("layers", LayerList());
  for (int64_t n = range.begin; n < range.end; ++n) {
    DecoderLayer layer(shape, cache, backend, nth_of_stream(init_seed, static_cast<uint64_t>(n)));
    list->add(n, layer);
    layers.push_back(layer);
  }
  if (range.ends_model())
    norm = register_module("norm", RmsNorm(shape.hidden_size, shape.rms_norm_eps));
}

LlamaImpl::LlamaImpl(const ModelShape& shape, const CacheConfig& cache,
                     const AttentionConfig& attention, uint64_t init_seed)
    : LlamaImpl(shape, all_layers(shape), cache, attention, init_seed) {}

LlamaImpl::LlamaImpl(const ModelShape& shape, const LayerRange& range, const CacheConfig& cache,
                     const AttentionConfig& attention, uint64_t init_seed)
    : shape_(shape),
      range_(range),
      cache_(cache),
      rope_(shape),
      full_(make_full_pattern(attention.backend)) {
  model = register_module("model", LlamaBody(shape, range, cache, attention.backend, init_seed));
  if (!shape.tie_word_embeddings && range.ends_model())
    lm_head = register_module("lm_head", Linear(shape.hidden_size, shape.vocab_size));
}

void LlamaImpl::init_random(double stddev, uint64_t seed) {
  torch::NoGradGuard no_grad;
  uint64_t index = 0;
  const auto& quantised = quantised_layers();
  const auto own = named_parameters();
  // Matrices are numbered in the whole model.
  for (const auto& [name, listed] : list_parameters(shape_, CacheConfig())) {
    if (listed.dim() > 1) ++index;
    if (!own.contains(name)) continue;
    auto weight = own[name];
    if (weight.dim() == 1) {
      weight.fill_(1.0);
      continue;
    }
    const auto found = quantised.find(name);
    const bool to_fill = found != quantised.end();
    if (to_fill) weight = torch::empty(weight.sizes(), torch::device(found->second->device()));
    auto generator = at::globalContext().defaultGenerator(weight.device()).clone();
    generator.set_current_seed(nth_of_stream(seed, index - 1));
    weight.normal_(0.0, stddev, generator);
    if (to_fill) found->second->fill(weight);
  }
}

namespace {

/// A layer's projection by its registered name.
std::shared_ptr<LinearImpl> projection_of(const DecoderLayer& layer, const std::string& name) {
  if (!is_projection(name)) {
    throw UserError("tune.lora_targets: '" + name + "' is no projection; use one of " +
                    projections_text());
  }
  const auto in_attention = layer->self_attn->named_children();
  const auto in_mlp = layer->mlp->named_children();
  const auto& module = in_attention.contains(name) ? in_attention[name] : in_mlp[name];
  return std::dynamic_pointer_cast<LinearImpl>(module);
}

}  // namespace

void LlamaImpl::add_lora(int64_t rank, double alpha, const std::vector<std::string>& targets,
                         uint64_t seed) {
  auto index = static_cast<uint64_t>(range_.begin) * targets.size();
  for (auto& layer : model->layers) {
    for (const auto& target : targets)
      projection_of(layer, target)->add_lora(rank, alpha, nth_of_stream(seed, index++));
  }
}

void LlamaImpl::check_entering(const torch::Tensor& entering) const {
  TORCH_CHECK(entering.dim() == (range_.begins_model() ? 2 : 3),
              "neither tokens nor hidden states: ", entering.sizes());
}

torch::Tensor LlamaImpl::run_layers(const torch::Tensor& entering, const AttentionInput& input,
                                    std::vector<CacheState>* caches, const WholeSequence& how) {
  DeferredSum hidden = {
      range_.begins_model() ? model->embed_tokens->forward(entering, compute_dtype_) : entering};
  for (size_t n = 0; n < model->layers.size(); ++n) {
    auto& layer = model->layers[n];
    CacheState* state = caches == nullptr ? nullptr : &(*caches)[n];
    if (how.checkpoint_layers && torch::GradMode::is_enabled()) {
      hidden = {checkpoint_layer(layer, hidden.sum(), input, how.recompute_attention)};
    } else {
      hidden = layer->forward(hidden, input, state);
    }
  }
  return range_.ends_model() ? model->norm->add_norm(hidden).normed : hidden.sum();
}

namespace {

int64_t longest_document(const Documents& documents) {
  int64_t longest = 1;
  for (const auto& row : documents.rows) {
    for (const TokenRange& range : row) longest = std::max(longest, range.length());
  }
  return longest;
}

/// Where each of L tokens stands in its document, int32 [B, L] on the CPU; 0 outside of all.
torch::Tensor document_places(const Documents& documents, int64_t L) {
  auto place_BL = torch::zeros({static_cast<int64_t>(documents.rows.size()), L}, torch::kInt32);
  for (size_t b = 0; b < documents.rows.size(); ++b) {
    for (const TokenRange& range : documents.rows[b]) {
      place_BL[static_cast<int64_t>(b)]
          .narrow(/*dim=*/0, range.begin, range.length())
          .copy_(torch::arange(range.length(), torch::kInt32));
    }
  }
  return place_BL;
}

}  // namespace

torch::Tensor LlamaImpl::forward(const torch::Tensor& entering, const WholeSequence& how) {
  check_entering(entering);
  const int64_t L = entering.size(1);
  AttentionInput input;
  input.step.end = L;
  const bool packed = how.documents && !how.documents->empty();
  const int64_t places = packed ? longest_document(*how.documents) : L;
  input.queries = rope_.table(0, places, entering.device());
  input.keys = input.queries;
  if (packed) input.place_BL = document_places(*how.documents, L).to(entering.device());
  input.pattern = how.pattern ? how.pattern : full_;
  input.documents = how.documents;
  return run_layers(entering, input, /*caches=*/nullptr, how);
}

torch::Tensor LlamaImpl::forward_softly(const torch::Tensor& tokens_BL, const SoftCache& cache) {
  TORCH_CHECK(range_.is_whole(), "teaching needs the whole model");
  const int64_t L = tokens_BL.size(1);
  AttentionInput input;
  input.step.end = L;
  input.queries = rope_.table(0, L, tokens_BL.device());
  input.keys = input.queries;
  input.soft_cache = &cache;
  return run_layers(tokens_BL, input, /*caches=*/nullptr);
}

RopeTable LlamaImpl::frame_table(int64_t end, int64_t room, torch::Device device) const {
  // Without a cap the table grows with the text, by doubling: recordings hold its address.
  const int64_t rows = cache_.position_cap > 0
                           ? cache_.position_cap + room
                           : static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(end + room)));
  const bool fits =
      frame_.cos_LD.defined() && frame_.cos_LD.size(0) == rows && frame_.cos_LD.device() == device;
  if (!fits) frame_ = rope_.table(0, rows, device);
  return frame_;
}

void LlamaImpl::quantise_projections(BasePrecision precision, torch::Device device,
                                     bool gradients) {
  if (precision == BasePrecision::kAuto) return;
  for (const auto& [name, layer] : linear_layers()) {
    if (!has_base_precision(kind_of_parameter(name))) continue;
    layer->keep_quantised(precision, device, gradients);
    quantised_[name] = layer;
  }
}

std::map<std::string, LinearImpl*> LlamaImpl::linear_layers() const {
  std::map<std::string, LinearImpl*> layers;
  for (const auto& item : named_modules("", /*include_self=*/false)) {
    if (auto* linear = item.value()->as<LinearImpl>()) layers[item.key() + ".weight"] = linear;
  }
  return layers;
}

void LlamaImpl::use_lora(bool enabled) {
  for (auto& layer : model->layers) {
    for (const auto& module : layer->modules(/*include_self=*/false)) {
      if (auto* linear = module->as<LinearImpl>()) linear->use_lora(enabled);
    }
  }
}

AttentionInput LlamaImpl::block_input(const BlockStep& step, torch::Device device) const {
  AttentionInput input;
  input.step = step;
  const int64_t begin = step.place(), end = begin + step.length();
  if (cache_.caches_rotated()) {
    input.queries = rope_.table(begin, end, device);
    input.keys = input.queries;
  } else if (cache_.turns_by_place()) {
    const int64_t first = begin - step.origin;
    // What is appended without a compression stays in the frame and may stand further.
    const int64_t room = std::max(cache_.slots + cache_.buffer + cache_.block,
                                  first + step.length() - cache_.position_cap);
    input.keys = frame_table(end, room, device);
    input.queries = rope_.table(first, first + step.length(), device);
    input.frame_2 = torch::tensor({first, step.shift}, torch::kInt32).to(device);
  } else {
    // Angles follow the slots, not the sequence: positions never exceed slots + block.
    input.keys = rope_.table(0, step.attended(), device);
    input.queries = input.keys.narrow(step.attended() - step.length(), step.length());
  }
  return input;
}

torch::Tensor LlamaImpl::forward_block(const torch::Tensor& tokens_BL, const AttentionInput& input,
                                       std::vector<CacheState>& caches) {
  check_entering(tokens_BL);
  TORCH_CHECK(tokens_BL.size(1) == input.step.length(), "not a block of ", input.step.length(),
              " tokens: ", tokens_BL.sizes());
  TORCH_CHECK(caches.size() == model->layers.size(), "want a cache for each layer");
  return run_layers(tokens_BL, input, &caches);
}

torch::Tensor LlamaImpl::forward_block(const torch::Tensor& tokens_BL, const BlockStep& step,
                                       std::vector<CacheState>& caches) {
  return forward_block(tokens_BL, block_input(step, tokens_BL.device()), caches);
}

std::vector<CacheState> LlamaImpl::static_caches(int64_t B, int64_t C, torch::Device device) const {
  const int64_t G = shape_.num_kv_heads, D = shape_.head_dim;
  const auto slots = torch::dtype(compute_dtype_).device(device);
  auto caches = empty_caches();
  for (size_t n = 0; n < caches.size(); ++n) {
    caches[n].k_home_BGCD = torch::zeros({B, G, C, D}, slots);
    caches[n].v_home_BGCD = torch::zeros({B, G, C, D}, slots);
    const auto& policy = model->layers[n]->self_attn->memory_saver;
    if (policy && policy->needs().mass)
      caches[n].mass_home_BGC = torch::zeros({B, G, C}, slots.dtype(torch::kFloat32));
    if (policy && policy->needs().score)
      caches[n].score_home_BGC = torch::zeros({B, G, C}, slots.dtype(torch::kFloat32));
    if (cache_.turns_by_place())
      caches[n].place_home_BGC = torch::zeros({B, G, C}, slots.dtype(torch::kInt32));
  }
  return caches;
}

void LlamaImpl::prepare_caches(std::vector<CacheState>& caches) {
  TORCH_CHECK(caches.size() == model->layers.size(), "want a cache for each layer");
  for (size_t n = 0; n < caches.size(); ++n) {
    const auto& policy = model->layers[n]->self_attn->memory_saver;
    if (policy) policy->prepare(caches[n]);
  }
}

torch::Device LlamaImpl::device() const {
  return model->layers.front()->input_layernorm->weight.device();
}

torch::Tensor LlamaImpl::head_weight() const {
  return shape_.tie_word_embeddings ? model->embed_tokens->weight : lm_head->weight;
}

}  // namespace lococo
