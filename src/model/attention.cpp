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

namespace {

/// x_BHLD turned to the places that its tokens have.
torch::Tensor rotate(const torch::Tensor& x_BHLD, const RopeTable& table,
                     const AttentionInput& input) {
  if (!input.place_BL.defined()) return apply_rope(x_BHLD, table);
  const int64_t B = x_BHLD.size(0), H = x_BHLD.size(1), L = x_BHLD.size(2);
  return apply_rope_at(x_BHLD, input.place_BL.unsqueeze(1).expand({B, H, L}), table);
}

}  // namespace

torch::Tensor SelfAttentionImpl::forward(const torch::Tensor& hidden_BLE,
                                         const AttentionInput& input, CacheState* state,
                                         PatternMemo* memo) {
  const int64_t B = hidden_BLE.size(0), L = hidden_BLE.size(1), H = shape_.num_heads,
                G = shape_.num_kv_heads, D = shape_.head_dim;
  CHECK_SHAPE(hidden_BLE, B, input.step.length(), shape_.hidden_size);
  const auto qkv = project_all({q_proj, k_proj, v_proj}, hidden_BLE);
  const auto q_BHLD = rotate(qkv[0].view({B, L, H, D}).transpose(1, 2), input.queries, input);
  const auto k_BGLD = qkv[1].view({B, L, G, D}).transpose(1, 2);
  const auto v_BGLD = qkv[2].view({B, L, G, D}).transpose(1, 2);
  torch::Tensor out_BHLD;
  if (state != nullptr) {
    out_BHLD = attend_block(hidden_BLE, q_BHLD, k_BGLD, v_BGLD, input, state);
  } else if (input.soft_cache != nullptr) {
    const auto k_rotated_BGLD = apply_rope(k_BGLD, input.keys);
    out_BHLD = memory_saver->attend_softly(hidden_BLE, {q_BHLD, k_rotated_BGLD, v_BGLD, backend_},
                                           *input.soft_cache);
  } else {
    out_BHLD = attend_whole(q_BHLD, rotate(k_BGLD, input.keys, input), v_BGLD, input, memo);
  }
  return o_proj->forward(out_BHLD.transpose(1, 2).reshape({B, L, H * D}));
}

torch::Tensor SelfAttentionImpl::attend_whole(const torch::Tensor& q_BHLD,
                                              const torch::Tensor& k_BGLD,
                                              const torch::Tensor& v_BGLD,
                                              const AttentionInput& input, PatternMemo* memo) {
  TORCH_CHECK(input.pattern != nullptr, "a whole sequence needs a pattern of attention");
  const Documents whole_rows;
  const Documents& documents = input.documents ? *input.documents : whole_rows;
  if (memo == nullptr) return input.pattern->attend(q_BHLD, k_BGLD, v_BGLD, documents);
  if (!memo->out_BHLD.defined()) {
    *memo = input.pattern->remember(q_BHLD, k_BGLD, v_BGLD, documents);
    if (!torch::GradMode::is_enabled()) return memo->out_BHLD;
  }
  memo->overwrites = true;  // q, k and v were made for this attention alone
  return input.pattern->recall(q_BHLD, k_BGLD, v_BGLD, documents, *memo);
}

/// The cache that the block meets: compressed where the plan says so, its places in the block's
/// frame.
CacheState SelfAttentionImpl::compressed(const CacheState& state, const AttentionInput& input) {
  // A compression's gradient reaches the policy's own parameters, and goes further back only where
  // the state's keys and values require it.
  CacheState past = input.step.compress ? memory_saver->compress(state) : state;
  if (input.frame_2.defined() && past.size() > 0)
    past.place_BGS = (past.place_BGS - input.frame_2.select(/*dim=*/0, 1)).clamp_min(0);
  return past;
}

/// The numbers beside keys and values: of the slots that stayed, then of the block's own tokens.
void SelfAttentionImpl::remember(const torch::Tensor& hidden_BLE, const CacheState& past,
                                 const AttentionInput& input, CacheState* state) {
  torch::NoGradGuard no_grad;
  const int64_t B = hidden_BLE.size(0), L = hidden_BLE.size(1), G = shape_.num_kv_heads;
  if (memory_saver && memory_saver->needs().score) {
    state->score_BGS =
        append_numbers(past.score_BGS, memory_saver->score(hidden_BLE), state->score_home_BGC);
  }
  if (!input.frame_2.defined()) return;
  const auto numbers_L = torch::arange(L, torch::dtype(torch::kInt32).device(hidden_BLE.device()));
  const auto place_BGL = (numbers_L + input.frame_2.select(/*dim=*/0, 0)).expand({B, G, L});
  state->place_BGS = append_numbers(past.place_BGS, place_BGL, state->place_home_BGC);
}

torch::Tensor SelfAttentionImpl::rotated_keys(const torch::Tensor& k_BGSD, const CacheState& state,
                                              const AttentionInput& input) const {
  if (cache_.caches_rotated()) return k_BGSD;
  if (input.frame_2.defined()) return apply_rope_at(k_BGSD, state.place_BGS, input.keys);
  return apply_rope(k_BGSD, input.keys);
}

torch::Tensor SelfAttentionImpl::attend_block(const torch::Tensor& hidden_BLE,
                                              const torch::Tensor& q_BHLD,
                                              const torch::Tensor& k_BGLD,
                                              const torch::Tensor& v_BGLD,
                                              const AttentionInput& input, CacheState* state) {
  const BlockStep& step = input.step;
  const bool rotated = cache_.caches_rotated();
  TORCH_CHECK(state->size() == step.cached, "the plan expects ", step.cached,
              " cached slots, the layer holds ", state->size());

  TORCH_CHECK(!input.carry_gradient || !state->k_home_BGCD.defined(),
              "a cache in the graph needs memory of its own: the next block overwrites a home");

  const CacheState past = compressed(*state, input);
  auto k_new = rotated ? apply_rope(k_BGLD, input.keys) : k_BGLD;
  auto v_new = v_BGLD;
  if (step.detach_keys) {  // the official code stores the first block's keys detached and attends
                           // to what it stored
    k_new = k_new.detach();
    v_new = v_new.detach();
  }
  const auto k_BGSD = append_slots(past.k_BGSD, k_new, state->k_home_BGCD);
  const auto v_BGSD = append_slots(past.v_BGSD, v_new, state->v_home_BGCD);
  remember(hidden_BLE, past, input, state);
  const auto k_rotated_BGSD = rotated_keys(k_BGSD, *state, input);
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
