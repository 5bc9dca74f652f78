#include "generate/decoder.h"

#include <torch/cuda.h>

#include <algorithm>

#include "lococo/step_plan.h"
#include "tensor/kit/cuda_graph.h"
#include "tensor/kit/shape.h"

namespace lococo {
namespace {

int64_t capacity_of(const CacheConfig& cache, const DecoderOptions& options) {
  TORCH_CHECK(options.batch > 0 && options.decode_buffer >= 0, "batch=", options.batch,
              " decode_buffer=", options.decode_buffer);
  if (cache.policy != CachePolicyKind::kNone) return cache.slots + options.decode_buffer + 1;
  TORCH_CHECK(options.max_tokens > 0, "without a cache policy max_tokens must be given");
  return options.max_tokens;
}

/// Slots that blocks of a prompt or decoding need, whichever is more.
int64_t home_slots_of(const CacheConfig& cache, int64_t capacity) {
  if (cache.policy == CachePolicyKind::kNone) return capacity;
  return std::max(capacity, cache.slots + cache.buffer + cache.block);
}

DecodeCache first_slots(const CacheState& state, int64_t slots) {
  const auto view = [&](const torch::Tensor& home) {
    return home.defined() ? home.narrow(/*dim=*/2, 0, slots) : torch::Tensor();
  };
  return {view(state.k_home_BGCD), view(state.v_home_BGCD), view(state.mass_home_BGC)};
}

}  // namespace

Decoder::Decoder(Llama model, const DecoderOptions& options)
    : model_(std::move(model)),
      config_(model_->cache_config()),
      options_(options),
      device_(model_->head_weight().device()),
      capacity_(capacity_of(config_, options)),
      rope_(model_->shape()),
      stack_(model_, options.batch, capacity_),
      states_(model_->static_caches(options.batch, home_slots_of(config_, capacity_), device_)) {
  torch::NoGradGuard no_grad;
  const auto& shape = model_->shape();
  const int64_t B = options.batch, C = capacity_, D = shape.head_dim;
  const auto dtype = model_->compute_dtype();
  const auto floats = torch::dtype(torch::kFloat32).device(device_);
  for (const auto& state : states_) caches_.push_back(first_slots(state, C));
  angles_.cursor = torch::zeros({2}, floats.dtype(torch::kInt32));
  angles_.cos_XD = torch::zeros({C, D}, floats);
  angles_.sin_XD = torch::zeros({C, D}, floats);
  angles_.rotate_cache = config_.keys == KeyKind::kUnrotated;
  // Slots have angles of their own, which never change.
  if (angles_.rotate_cache) fill_angles(0, C);
  block_BL_ = torch::zeros({B, config_.block}, floats.dtype(torch::kInt64));
  last_BE_ = torch::zeros({B, shape.hidden_size}, floats.dtype(dtype));
  tokens_B_ = torch::zeros({B}, floats.dtype(torch::kInt64));
  logits_BV_ = torch::zeros({B, shape.vocab_size},
                            floats.dtype(dtype == torch::kFloat64 ? dtype : torch::kFloat32));
}

torch::Tensor Decoder::prefill(const torch::Tensor& tokens_BT,
                               const std::function<void(int64_t)>& on_block) {
  torch::NoGradGuard no_grad;
  CHECK_SHAPE(tokens_BT, options_.batch, -1);
  const int64_t T = tokens_BT.size(1);
  TORCH_CHECK(T > 0, "a prompt needs a token");
  TORCH_CHECK(config_.policy != CachePolicyKind::kNone || T <= capacity_, T,
              " tokens do not fit into max_tokens=", capacity_);
  position_ = 0;  // until the prompt is through
  model_->prepare_caches(states_);
  for (const auto& step : make_step_plan(config_, T)) {
    run_block(tokens_BT.slice(/*dim=*/1, step.begin, step.end), step);
    if (!on_block) continue;
    if (device_.is_cuda()) torch::cuda::synchronize(device_.index());
    on_block(step.end);
  }
  position_ = T;
  if (must_compress()) compress(/*seen_again=*/T % config_.block == 0);
  set_cursor();
  return stack_.logits(last_BE_);
}

void Decoder::run_block(const torch::Tensor& tokens_BL, const BlockStep& step) {
  const auto block_BL = block_BL_.narrow(/*dim=*/1, 0, step.length());
  block_BL.copy_(tokens_BL);
  const auto work = [&](const AttentionInput& input) {
    for (auto& state : states_) state.use_home(input.step.cached);
    const auto hidden_BLE = model_->forward_block(block_BL, input, states_);
    last_BE_.copy_(hidden_BLE.select(/*dim=*/1, -1));
  };
  // A prompt's last block may have any length: recordings of all would take memory without end.
  if (step.length() == config_.block) {
    blocks_.run(model_, step, device_, may_record(), work);
  } else {
    work(model_->block_input(step, device_));
  }
  size_ = step.attended();
}

torch::Tensor Decoder::step(const torch::Tensor& tokens_B) {
  torch::NoGradGuard no_grad;
  CHECK_SHAPE(tokens_B, options_.batch);
  TORCH_CHECK(position_ > 0, "prefill() comes first");
  if (must_compress()) {
    compress(/*seen_again=*/true);
    set_cursor();
  }
  TORCH_CHECK(size_ < capacity_, "max_tokens=", capacity_, " are used up");
  tokens_B_.copy_(tokens_B);
  step_.run(may_record(), [this] { run_step(); });
  ++size_;
  ++position_;
  return logits_BV_;
}

/// Everything that one token changes on the device.
void Decoder::run_step() {
  logits_BV_.copy_(stack_.forward(tokens_B_, caches_, angles_));
  angles_.cursor.add_(1);
}

int64_t Decoder::cache_bytes() const {
  int64_t bytes = 0;
  for (const auto& state : states_) {
    for (const auto& home : {state.k_home_BGCD, state.v_home_BGCD, state.mass_home_BGC})
      bytes += home.defined() ? static_cast<int64_t>(home.nbytes()) : 0;
  }
  return bytes;
}

bool Decoder::may_record() const {
  return options_.cuda_graphs && CapturedGraph::available(device_);
}

bool Decoder::must_compress() const {
  return config_.policy != CachePolicyKind::kNone && size_ > config_.slots + options_.decode_buffer;
}

/// `seen_again`: a cache of this size will come again.
void Decoder::compress(bool seen_again) {
  const auto work = [this] {
    for (size_t n = 0; n < states_.size(); ++n) compress_layer(n, size_);
  };
  if (seen_again) {
    compressions_[size_].run(may_record(), work);
  } else {
    work();
  }
  size_ = config_.slots;
}

void Decoder::compress_layer(size_t n, int64_t size) {
  CacheState& state = states_[n];
  state.use_home(size);
  auto result = model_->model->layers[n]->self_attn->memory_saver->compress(state);
  const auto store = [](const torch::Tensor& from, const torch::Tensor& home) {
    // A policy may return a view of what it was given, and then source and target overlap.
    home.narrow(/*dim=*/2, 0, from.size(2)).copy_(from.is_alias_of(home) ? from.clone() : from);
  };
  store(result.k_BGSD, state.k_home_BGCD);
  store(result.v_BGSD, state.v_home_BGCD);
  if (!state.mass_home_BGC.defined()) return;
  // Scores of the last block alone: the count begins anew.
  if (config_.scores == ScoreKind::kLastBlock) result.mass_BGS.zero_();
  store(result.mass_BGS, state.mass_home_BGC);
}

/// The place of the next token and, with rotated keys, the angles of all that come before the next
/// compression.
void Decoder::set_cursor() {
  angles_.cursor.select(/*dim=*/0, 0).fill_(size_);
  angles_.cursor.select(/*dim=*/0, 1).fill_(angles_.rotate_cache ? size_ : 0);
  if (!angles_.rotate_cache) fill_angles(position_, capacity_ - size_);
}

/// Rows 0 .. rows - 1 of the tables: positions from `begin` on.
void Decoder::fill_angles(int64_t begin, int64_t rows) {
  auto copy = [&](int64_t row, const RopeTable& table) {
    angles_.cos_XD.narrow(/*dim=*/0, row, table.cos_LD.size(0)).copy_(table.cos_LD);
    angles_.sin_XD.narrow(/*dim=*/0, row, table.sin_LD.size(0)).copy_(table.sin_LD);
  };
  if (rows == 0) return;
  if (angles_.rotate_cache || model_->shape().rope_scaling.type != RopeType::kDynamic) {
    copy(0, rope_.table(begin, begin + rows, device_));
    return;
  }
  // Dynamic scaling depends on the length so far: every position has angles of its own.
  for (int64_t row = 0; row < rows; ++row)
    copy(row, rope_.table(begin + row, begin + row + 1, device_));
}

}  // namespace lococo
