#include "model/attention.h"

#include "tensor/attention/attention.h"
#include "tensor/attention/column_mass.h"
#include "tensor/kit/shape.h"

namespace lococo {

SelfAttentionImpl::SelfAttentionImpl(const ModelShape& shape, const CacheConfig& cache,
                                     AttentionBackend backend, uint64_t init_seed)
    : shape_(shape), cache_(cache), backend_(backend) {
  const int64_t E = shape.hidden_size, D = shape.head_dim;
  q_proj = register_module("q_proj", Linear(E, shape.num_heads * D));
  k_proj = register_module("k_proj", Linear(E, shape.num_kv_heads * D));
  v_proj = register_module("v_proj", Linear(E, shape.num_kv_heads * D));
  o_proj = register_module("o_proj", Linear(shape.num_heads * D, E));
  memory_saver = make_cache_policy(cache, {E, shape.num_kv_heads, D}, init_seed);
  if (memory_saver && !memory_saver->parameters().empty())
    register_module("memory_saver", memory_saver);
}

torch::Tensor SelfAttentionImpl::forward(const torch::Tensor& hidden_BLE,
                                         const AttentionInput& input, CacheState* state,
                                         AttentionMemo* memo) {
  const int64_t B = hidden_BLE.size(0), L = hidden_BLE.size(1), H = shape_.num_heads,
                G = shape_.num_kv_heads, D = shape_.head_dim;
  CHECK_SHAPE(hidden_BLE, B, input.step.length(), shape_.hidden_size);
  const auto qkv = project_all({q_proj, k_proj, v_proj}, hidden_BLE);
  const auto q_BHLD = apply_rope(qkv[0].view({B, L, H, D}).transpose(1, 2), input.queries);
  const auto k_BGLD = qkv[1].view({B, L, G, D}).transpose(1, 2);
  const auto v_BGLD = qkv[2].view({B, L, G, D}).transpose(1, 2);
  const auto out_BHLD = state == nullptr
                            ? attend_whole(q_BHLD, apply_rope(k_BGLD, input.keys), v_BGLD, memo)
                            : attend_block(q_BHLD, k_BGLD, v_BGLD, input, state);
  return o_proj->forward(out_BHLD.transpose(1, 2).reshape({B, L, H * D}));
}

torch::Tensor SelfAttentionImpl::attend_whole(const torch::Tensor& q_BHLD,
                                              const torch::Tensor& k_BGLD,
                                              const torch::Tensor& v_BGLD, AttentionMemo* memo) {
  if (memo == nullptr) return causal_attention(q_BHLD, k_BGLD, v_BGLD, backend_).out_BHLD;
  if (memo->out_BHLD.defined()) return recall_attention(q_BHLD, k_BGLD, v_BGLD, *memo);
  *memo = remember_attention(q_BHLD, k_BGLD, v_BGLD, backend_);
  return memo->out_BHLD;
}

torch::Tensor SelfAttentionImpl::attend_block(const torch::Tensor& q_BHLD,
                                              const torch::Tensor& k_BGLD,
                                              const torch::Tensor& v_BGLD,
                                              const AttentionInput& input, CacheState* state) {
  const BlockStep& step = input.step;
  const bool rotated = cache_.keys == KeyKind::kRotated;
  TORCH_CHECK(state->size() == step.cached, "the plan expects ", step.cached,
              " cached slots, the layer holds ", state->size());

  TORCH_CHECK(!input.carry_gradient || !state->k_home_BGCD.defined(),
              "a cache in the graph needs memory of its own: the next block overwrites a home");

  // A compression's gradient reaches the policy's own parameters, and goes further back only where
  // the state's keys and values require it.
  const CacheState past = step.compress ? memory_saver->compress(*state) : *state;
  auto k_new = rotated ? apply_rope(k_BGLD, input.keys) : k_BGLD;
  auto v_new = v_BGLD;
  if (step.detach_keys) {  // the official code stores the first block's keys detached and attends
                           // to what it stored
    k_new = k_new.detach();
    v_new = v_new.detach();
  }
  const auto k_BGSD = append_slots(past.k_BGSD, k_new, state->k_home_BGCD);
  const auto v_BGSD = append_slots(past.v_BGSD, v_new, state->v_home_BGCD);
  const auto k_rotated_BGSD = rotated ? k_BGSD : apply_rope(k_BGSD, input.keys);
  const auto attention = causal_attention(q_BHLD, k_rotated_BGSD, v_BGSD, backend_);

  torch::Tensor mass_BGS;
  if (memory_saver && memory_saver->needs().mass) {
    const bool adds_up = cache_.scores == ScoreKind::kAccumulated && past.size() > 0;
    mass_BGS = column_mass(q_BHLD.detach(), k_rotated_BGSD.detach(), attention.lse_BHL,
                           adds_up ? past.mass_BGS : torch::Tensor(), cache_.score_distance);
  }
  if (mass_BGS.defined() && state->mass_home_BGC.defined())
    mass_BGS = state->mass_home_BGC.narrow(/*dim=*/2, 0, mass_BGS.size(2)).copy_(mass_BGS);
  state->k_BGSD = input.carry_gradient ? k_BGSD : k_BGSD.detach();
  state->v_BGSD = input.carry_gradient ? v_BGSD : v_BGSD.detach();
  state->mass_BGS = mass_BGS;
  return attention.out_BHLD;
}

}  // namespace lococo
