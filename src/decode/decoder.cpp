#include "decode/decoder.h"

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
  if (cache.compresses()) return cache.slots + options.decode_buffer + 1;
  TORCH_CHECK(options.max_tokens > 0, "without a cache policy max_tokens must be given");
  const int64_t first = options.first_tokens;
  return first > 0 ? std::min(first, options.max_tokens) : options.max_tokens;
}

/// Slots that blocks of a prompt or decoding need, whichever is more.
int64_t home_slots_of(const CacheConfig& cache, int64_t capacity) {
  if (!cache.compresses()) return capacity;
  return std::max(capacity, cache.slots + cache.buffer + cache.block);
}

/// The angles of all places that tokens can have while decoding; empty where slots are places.
RopeTable frame_of(LlamaImpl& model, int64_t home_slots, torch::Device device) {
  const auto& cache = model.cache_config();
  if (!cache.turns_by_place()) return {};
  TORCH_CHECK(cache.position_cap > 0, "decoding at places of the text needs a position_cap");
  return model.frame_table(model.shape().max_position_embeddings, home_slots, device);
}

}  // namespace

Decoder::Decoder(Llama model, const DecoderOptions& options, std::shared_ptr<StageLine> line)
    : model_(std::move(model)),
      config_(model_->cache_config()),
      options_(options),
      device_(model_->device()),
      capacity_(capacity_of(config_, options)),
      stack_(model_, options.batch, capacity_),
      rows_(model_, options.batch, home_slots_of(config_, capacity_), options.decode_buffer,
            may_record()),
      caches_(rows_.first_slots(capacity_)),
      cursor_(model_->shape(), config_, options.batch, capacity_, device_,
              frame_of(*model_, home_slots_of(config_, capacity_), device_)),
      ends_(model_, std::move(line), options.batch, config_.block, device_) {
  torch::NoGradGuard no_grad;
  const auto& shape = model_->shape();
  const int64_t B = options.batch;
  const auto dtype = model_->compute_dtype();
  const auto floats = torch::dtype(torch::kFloat32).device(device_);
  block_BL_ = torch::zeros({B, config_.block}, floats.dtype(torch::kInt64));
  last_BE_ = torch::zeros({B, shape.hidden_size}, floats.dtype(dtype));
  tokens_B_ = torch::zeros({B}, floats.dtype(torch::kInt64));
  logits_BV_ = torch::zeros({B, shape.vocab_size},
                            floats.dtype(dtype == torch::kFloat64 ? dtype : torch::kFloat32));
}

void Decoder::reset() {
  torch::NoGradGuard no_grad;
  rows_.reset();
}

torch::Tensor Decoder::prefill(const torch::Tensor& tokens_BT, const OnBlock& on_block) {
  CHECK_SHAPE(tokens_BT, options_.batch, -1);
  TORCH_CHECK(tokens_BT.size(1) > 0, "a prompt needs a token");
  reset();
  return extend(tokens_BT.unbind(/*dim=*/0), on_block);
}

int64_t Decoder::checked_length(const std::vector<torch::Tensor>& tokens_T) const {
  int64_t longest = 0;
  TORCH_CHECK(static_cast<int64_t>(tokens_T.size()) == options_.batch,
              "want tokens of B=", options_.batch, " rows, got ", tokens_T.size());
  for (size_t row = 0; row < tokens_T.size(); ++row) {
    CHECK_SHAPE(tokens_T[row], -1);
    const int64_t length = rows_.states()[row].position + tokens_T[row].size(0);
    TORCH_CHECK(length > 0, "row ", row, " has no token yet and gets none");
    TORCH_CHECK(config_.compresses() || length <= options_.max_tokens, length,
                " tokens do not fit into max_tokens=", options_.max_tokens);
    longest = std::max(longest, length);
  }
  return longest;
}

/// Where every token stays: memory for so many of a row, and for half as many again as there were,
/// so that it seldom grows. Everything recorded refers to memory that goes.
void Decoder::make_room(int64_t tokens) {
  if (config_.compresses() || tokens <= capacity_) return;
  if (device_.is_cuda()) torch::cuda::synchronize(device_.index());
  step_ = RepeatedWork();
  capacity_ = std::min(options_.max_tokens, std::max(tokens, capacity_ + capacity_ / 2));
  caches_.clear();
  rows_.grow(capacity_);
  caches_ = rows_.first_slots(capacity_);
  stack_.set_capacity(capacity_);
  cursor_ = DecodeCursor(model_->shape(), config_, options_.batch, capacity_, device_);
}

torch::Tensor Decoder::extend(const std::vector<torch::Tensor>& tokens_T, const OnBlock& on_block) {
  return read(tokens_T, /*may_compress=*/true, on_block);
}

torch::Tensor Decoder::append(const std::vector<torch::Tensor>& tokens_T) {
  return read(tokens_T, /*may_compress=*/false, /*on_block=*/{});
}

torch::Tensor Decoder::read(const std::vector<torch::Tensor>& tokens_T, bool may_compress,
                            const OnBlock& on_block) {
  torch::NoGradGuard no_grad;
  make_room(checked_length(tokens_T));
  const int64_t B = options_.batch;
  std::vector<int64_t> length(tokens_T.size()), done(tokens_T.size(), 0);
  for (size_t row = 0; row < tokens_T.size(); ++row) length[row] = tokens_T[row].size(0);
  const auto next = [&](int64_t row) {
    const auto i = static_cast<size_t>(row);
    return std::min(config_.block, length[i] - done[i]);
  };
  const auto has_more = [&](int64_t row) { return next(row) > 0; };
  const auto alike = [&](int64_t a, int64_t b) {
    return rows_.state(a) == rows_.state(b) && next(a) == next(b);
  };
  for (;;) {
    const auto runs = equal_runs(B, has_more, alike);
    if (runs.empty()) break;
    for (const RowRun& run : runs) {
      const int64_t count = next(run.first);
      std::vector<torch::Tensor> tokens_L;
      for (int64_t row = run.first; row < run.first + run.count; ++row) {
        const auto i = static_cast<size_t>(row);
        tokens_L.push_back(tokens_T[i].narrow(/*dim=*/0, done[i], count));
        done[i] += count;
      }
      run_block(run, torch::stack(tokens_L), may_compress);
    }
    if (!on_block) continue;
    if (device_.is_cuda()) torch::cuda::synchronize(device_.index());
    if (done == length) ends_.meet();
    on_block(*std::max_element(done.begin(), done.end()));
  }
  if (may_compress) rows_.compress_above(config_.slots + options_.decode_buffer, cursor_);
  if (!has_logits()) return logits_BV_;
  // A row without tokens keeps its logits: the last hidden state is of its prompt, not of a step.
  const auto read = [&](int64_t row) { return length[static_cast<size_t>(row)] > 0; };
  for (const RowRun& run : equal_runs(B, read, [](int64_t, int64_t) { return true; })) {
    const auto of_run = [&](const torch::Tensor& x) {
      return x.narrow(/*dim=*/0, run.first, run.count);
    };
    of_run(logits_BV_).copy_(stack_.logits(of_run(last_BE_)));
  }
  return logits_BV_;
}

void Decoder::run_block(const RowRun& run, const torch::Tensor& tokens_BL, bool may_compress) {
  const RowState& at = rows_.state(run.first);
  auto step = next_step(config_, at.position, at.size, tokens_BL.size(1), at.origin);
  step.compress = step.compress && may_compress;
  if (!may_compress) {  // the frame stays too
    step.origin = at.origin;
    step.shift = 0;
  }
  TORCH_CHECK(may_compress || step.attended() <= capacity_, step.attended(),
              " slots do not fit into C=", capacity_);
  DecodeRows::RunWork& work = rows_.work_of(run);
  const auto block_BL =
      block_BL_.narrow(/*dim=*/0, run.first, run.count).narrow(/*dim=*/1, 0, step.length());
  const auto last_BE = last_BE_.narrow(/*dim=*/0, run.first, run.count);
  const int64_t first = run.first, count = run.count, L = step.length();
  block_BL.copy_(tokens_BL);
  ends_.receive(first, count, L);
  const auto forward = [&](const AttentionInput& input) {
    for (auto& state : work.states) state.use_home(input.step.cached);
    const auto hidden_BLE = model_->forward_block(
        begins_model() ? block_BL : ends_.entering(first, count, L), input, work.states);
    if (has_logits()) {
      last_BE.copy_(hidden_BLE.select(/*dim=*/1, -1));
    } else {
      ends_.leaving(first, count, L).copy_(hidden_BLE);
    }
  };
  // A prompt's last block may have any length: recordings of all would take memory without end.
  if (step.length() == config_.block) {
    work.blocks.run(model_, step, device_, may_record(), forward);
  } else {
    forward(model_->block_input(step, device_));
  }
  ends_.send(first, count, L);
  for (int64_t row = first; row < first + count; ++row) {
    rows_.state(row) = {step.attended(), step.end, step.origin};
    cursor_.moved(row);
  }
}

torch::Tensor Decoder::step(const torch::Tensor& tokens_B) {
  torch::NoGradGuard no_grad;
  CHECK_SHAPE(tokens_B, options_.batch);
  rows_.compress_above(config_.slots + options_.decode_buffer, cursor_);
  int64_t largest = 0;
  for (const RowState& row : rows_.states()) {
    TORCH_CHECK(row.position > 0, "prefill() comes first");
    TORCH_CHECK(row.size < (config_.compresses() ? capacity_ : options_.max_tokens),
                "max_tokens=", options_.max_tokens, " are used up");
    largest = std::max(largest, row.size);
  }
  make_room(largest + 1);
  cursor_.set(rows_.states());
  tokens_B_.copy_(tokens_B);
  ends_.receive(/*first=*/0, options_.batch, /*L=*/1);
  step_.run(may_record(), [this] { run_step(); });
  ends_.send(/*first=*/0, options_.batch, /*L=*/1);
  for (RowState& row : rows_.states()) {
    ++row.size;
    ++row.position;
  }
  return logits_BV_;
}

/// Everything that one token changes on the device.
void Decoder::run_step() {
  const auto entering = begins_model()
                            ? tokens_B_
                            : ends_.entering(/*first=*/0, options_.batch, /*L=*/1).select(1, 0);
  const auto made = stack_.forward(entering, caches_, cursor_.position());
  const auto place =
      has_logits() ? logits_BV_ : ends_.leaving(/*first=*/0, options_.batch, /*L=*/1).select(1, 0);
  place.copy_(made);
  cursor_.advance();
}

DecoderSnapshot Decoder::save() {
  torch::NoGradGuard no_grad;
  return {rows_.save(), logits_BV_.clone()};
}

void Decoder::restore(const DecoderSnapshot& snapshot) {
  torch::NoGradGuard no_grad;
  rows_.restore(snapshot.rows);
  logits_BV_.copy_(snapshot.logits_BV);
  cursor_.all_moved();
}

bool Decoder::may_record() const {
  return options_.cuda_graphs && CapturedGraph::available(device_);
}

void Decoder::compress() {
  torch::NoGradGuard no_grad;
  rows_.compress_above(config_.slots, cursor_);
}

}  // namespace lococo
