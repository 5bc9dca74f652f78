#include "model/decoder.h"

#include "lococo/step_plan.h"
#include "tensor/shape.h"

namespace lococo {
namespace {

int64_t capacity_of(const CacheConfig& cache, const DecoderOptions& options) {
  if (cache.policy != CachePolicyKind::kNone) return cache.slots + options.decode_buffer + 1;
  TORCH_CHECK(options.max_tokens > 0, "without a cache policy max_tokens must be given");
  return options.max_tokens;
}

}  // namespace

Decoder::Decoder(Llama model, const DecoderOptions& options)
    : model_(std::move(model)),
      config_(model_->cache_config()),
      options_(options),
      device_(model_->head_weight().device()),
      capacity_(capacity_of(config_, options)),
      rope_(model_->shape()),
      stack_(model_, options.batch, capacity_) {
  TORCH_CHECK(options.batch > 0 && options.decode_buffer >= 0, "batch=", options.batch,
              " decode_buffer=", options.decode_buffer);
  torch::NoGradGuard no_grad;
  const auto& shape = model_->shape();
  const int64_t B = options.batch, G = shape.num_kv_heads, C = capacity_, D = shape.head_dim;
  const auto dtype = model_->compute_dtype();
  const auto floats = torch::dtype(torch::kFloat32).device(device_);
  for (auto& layer : model_->model->layers) {
    DecodeCache cache;
    cache.k_BGCD = torch::zeros({B, G, C, D}, floats.dtype(dtype));
    cache.v_BGCD = torch::zeros({B, G, C, D}, floats.dtype(dtype));
    const auto& policy = layer->self_attn->memory_saver;
    if (policy && policy->needs_mass()) cache.mass_BGC = torch::zeros({B, G, C}, floats);
    caches_.push_back(cache);
  }
  angles_.cursor = torch::zeros({2}, floats.dtype(torch::kInt32));
  angles_.cos_XD = torch::zeros({C, D}, floats);
  angles_.sin_XD = torch::zeros({C, D}, floats);
  angles_.rotate_cache = config_.keys == KeyKind::kUnrotated;
  tokens_B_ = torch::zeros({B}, floats.dtype(torch::kInt64));
  logits_BV_ = torch::zeros({B, shape.vocab_size},
                            floats.dtype(dtype == torch::kFloat64 ? dtype : torch::kFloat32));
}

torch::Tensor Decoder::prefill(const torch::Tensor& tokens_BT) {
  torch::NoGradGuard no_grad;
  CHECK_SHAPE(tokens_BT, options_.batch, -1);
  const int64_t T = tokens_BT.size(1);
  TORCH_CHECK(T > 0, "a prompt needs a token");
  TORCH_CHECK(config_.policy != CachePolicyKind::kNone || T <= capacity_, T,
              " tokens do not fit into max_tokens=", capacity_);
  auto states = model_->empty_caches();
  torch::Tensor hidden_BLE;
  for (const auto& step : make_step_plan(config_, T)) {
    hidden_BLE =
        model_->forward_block(tokens_BT.slice(/*dim=*/1, step.begin, step.end), step, states);
  }
  position_ = T;
  size_ = states[0].size();
  const bool compresses = must_compress(size_);
  for (size_t n = 0; n < states.size(); ++n) {
    store(n, compresses ? compressed(n, states[n]) : states[n]);
    states[n] = CacheState();  // a layer's block cache is given back before the next is compressed
  }
  if (compresses) size_ = config_.slots;
  fill_angles();
  set_cursor();
  return stack_.logits(hidden_BLE.select(/*dim=*/1, -1).contiguous());
}

torch::Tensor Decoder::step(const torch::Tensor& tokens_B) {
  torch::NoGradGuard no_grad;
  CHECK_SHAPE(tokens_B, options_.batch);
  TORCH_CHECK(position_ > 0, "prefill() comes first");
  if (must_compress(size_)) compress();
  TORCH_CHECK(size_ < capacity_, "max_tokens=", capacity_, " are used up");
  tokens_B_.copy_(tokens_B);
  // The first step runs as it is, so that libraries have made their choices before a recording.
  if (!graph_.captured() && steps_ > 0 && options_.cuda_graphs && CapturedGraph::available(device_))
    graph_.capture([this] { run(); });
  if (graph_.captured()) {
    graph_.replay();
  } else {
    run();
  }
  ++steps_;
  ++size_;
  ++position_;
  return logits_BV_;
}

/// Everything that one token changes on the device.
void Decoder::run() {
  logits_BV_.copy_(stack_.forward(tokens_B_, caches_, angles_));
  angles_.cursor.add_(1);
}

bool Decoder::must_compress(int64_t size) const {
  return config_.policy != CachePolicyKind::kNone && size > config_.slots + options_.decode_buffer;
}

/// Layer n's cache in config.slots slots; with last_block scores the count begins anew.
CacheState Decoder::compressed(size_t n, const CacheState& state) {
  auto result = model_->model->layers[n]->self_attn->memory_saver->compress(state);
  if (result.mass_BGS.defined() && config_.scores == ScoreKind::kLastBlock)
    result.mass_BGS = torch::zeros_like(result.mass_BGS);
  return result;
}

void Decoder::compress() {
  for (size_t n = 0; n < caches_.size(); ++n) {
    CacheState state;
    state.k_BGSD = caches_[n].k_BGCD.narrow(/*dim=*/2, 0, size_);
    state.v_BGSD = caches_[n].v_BGCD.narrow(/*dim=*/2, 0, size_);
    if (caches_[n].mass_BGC.defined())
      state.mass_BGS = caches_[n].mass_BGC.narrow(/*dim=*/2, 0, size_);
    store(n, compressed(n, state));
  }
  size_ = config_.slots;
  fill_angles();
  set_cursor();
}

void Decoder::store(size_t n, const CacheState& state) {
  auto copy = [&](const torch::Tensor& from, torch::Tensor& to) {
    auto target = to.narrow(/*dim=*/2, 0, state.size());
    // A policy may return a view of what it was given, and then source and target overlap.
    target.copy_(from.is_alias_of(to) ? from.clone() : from);
  };
  copy(state.k_BGSD, caches_[n].k_BGCD);
  copy(state.v_BGSD, caches_[n].v_BGCD);
  if (caches_[n].mass_BGC.defined()) copy(state.mass_BGS, caches_[n].mass_BGC);
}

void Decoder::set_cursor() {
  angles_.cursor.select(/*dim=*/0, 0).fill_(size_);
  angles_.cursor.select(/*dim=*/0, 1).fill_(angles_.rotate_cache ? size_ : 0);
}

/// Angles of all slots, or of the positions that come before the next compression.
void Decoder::fill_angles() {
  auto copy = [&](int64_t row, const RopeTable& table) {
    angles_.cos_XD.narrow(/*dim=*/0, row, table.cos_LD.size(0)).copy_(table.cos_LD);
    angles_.sin_XD.narrow(/*dim=*/0, row, table.sin_LD.size(0)).copy_(table.sin_LD);
  };
  const int64_t begin = angles_.rotate_cache ? 0 : position_;
  const int64_t rows = angles_.rotate_cache ? capacity_ : capacity_ - size_;
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
