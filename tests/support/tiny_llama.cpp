#include "tests/support/tiny_llama.h"

#include <ATen/CPUGeneratorImpl.h>

#include "lococo/step_plan.h"
#include "tensor/kit/torch.h"
#include "tests/support/tensors.h"

namespace lococo::testing {

ModelShape tiny_shape() {
  ModelShape shape;
  shape.vocab_size = 61;
  shape.hidden_size = 32;
  shape.intermediate_size = 48;
  shape.num_layers = 2;
  shape.num_heads = 4;
  shape.num_kv_heads = 2;
  shape.max_position_embeddings = 32;
  shape.rope_scaling.type = RopeType::kLinear;
  shape.rope_scaling.factor = 2.0;
  shape.resolve_defaults();
  return shape;
}

ModelShape kernel_shape() {
  auto shape = tiny_shape();
  shape.hidden_size = 128;
  shape.intermediate_size = 192;
  shape.head_dim = 64;
  return shape;
}

CacheConfig tiny_cache() {
  CacheConfig cache;
  cache.policy = CachePolicyKind::kLococo;
  cache.slots = 8;
  cache.block = 8;
  cache.kernel_size = 3;
  cache.buffer = 0;
  cache.keys = KeyKind::kUnrotated;
  return cache;
}

TuneConfig tune_all_parts() {
  TuneConfig tune;
  tune.conv = tune.all = 1.0;
  return tune;
}

Llama tiny_llama(uint64_t seed, const CacheConfig& cache, const ModelShape& shape) {
  torch::set_num_threads(1);  // at this size threads only wait for each other
  Llama model(shape, cache, AttentionConfig{}, seed);
  model->init_random(0.1, seed);
  perturb(model, "norm.weight", 0.1, seed + 1);
  return model;
}

void perturb(Llama& model, const std::string& part, double stddev, uint64_t seed) {
  const torch::NoGradGuard no_grad;
  auto generator = at::detail::createCPUGenerator(seed);
  for (auto& item : model->named_parameters()) {
    if (item.key().find(part) == std::string::npos) continue;
    const auto noise = torch::empty(item.value().sizes()).normal_(0.0, stddev, generator);
    item.value().add_(noise);
  }
}

TensorMap snapshot(Llama& model) {
  TensorMap copy;
  for (const auto& item : model->named_parameters()) {
    copy[item.key()] = item.value().detach().clone();
  }
  return copy;
}

bool same_bits(const TensorMap& a, const TensorMap& b) {
  if (a.size() != b.size()) return false;
  for (const auto& [name, tensor] : a) {
    const auto other = b.find(name);
    if (other == b.end() || tensor.scalar_type() != other->second.scalar_type() ||
        !torch::equal(tensor, other->second)) {
      return false;
    }
  }
  return true;
}

torch::Tensor distinct_tokens(int64_t B, int64_t L, uint64_t seed) {
  const int64_t V = tiny_shape().vocab_size;
  TORCH_CHECK(L <= V, "want at most ", V, " tokens, not ", L);
  return normal({B, V}, seed).argsort(int64_t{-1}).narrow(/*dim=*/1, 0, L).contiguous();
}

torch::Tensor random_tokens(int64_t B, int64_t L, uint64_t seed) {
  auto generator = at::detail::createCPUGenerator(seed);
  return torch::randint(0, tiny_shape().vocab_size, {B, L}, generator, torch::kInt64);
}

torch::Tensor blockwise_hidden(Llama& model, const torch::Tensor& tokens_BL) {
  const torch::NoGradGuard no_grad;
  std::vector<CacheState> caches = model->empty_caches();
  std::vector<torch::Tensor> hidden;
  for (const BlockStep& step : make_step_plan(model->cache_config(), tokens_BL.size(1))) {
    const auto block_BL = tokens_BL.slice(1, step.begin, step.end);
    hidden.push_back(model->forward_block(block_BL, step, caches));
  }
  return torch::cat(hidden, 1);
}

}  // namespace lococo::testing
