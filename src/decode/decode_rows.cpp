#include "decode/decode_rows.h"

#include <algorithm>
#include <utility>

#include "tensor/kit/torch.h"

namespace lococo {

DecodeRows::DecodeRows(Llama model, int64_t B, int64_t home_slots, int64_t decode_buffer,
                       bool record)
    : model_(std::move(model)),
      config_(model_->cache_config()),
      decode_buffer_(decode_buffer),
      record_(record),
      caches_(model_->static_caches(B, home_slots, model_->device())),
      rows_(static_cast<size_t>(B)) {}

void DecodeRows::grow(int64_t home_slots) {
  works_.clear();
  for (CacheState& state : caches_) state.grow_home(home_slots);
}

void DecodeRows::reset() {
  std::fill(rows_.begin(), rows_.end(), RowState());
  marks_.clear();
  model_->prepare_caches(caches_);
}

DecodeRows::RunWork& DecodeRows::work_of(const RowRun& run) {
  RunWork& work = works_[run];
  if (work.states.empty()) {
    for (const auto& state : caches_) work.states.push_back(state.rows(run.first, run.count));
    if (config_.turns_by_place())
      work.shift = torch::zeros({}, torch::dtype(torch::kInt32).device(model_->device()));
  }
  return work;
}

std::vector<DecodeCache> DecodeRows::first_slots(int64_t C) const {
  const auto view = [&](const torch::Tensor& home) {
    return home.defined() ? home.narrow(/*dim=*/2, 0, C) : torch::Tensor();
  };
  std::vector<DecodeCache> first;
  for (const auto& state : caches_) {
    first.push_back({view(state.k_home_BGCD), view(state.v_home_BGCD), view(state.mass_home_BGC),
                     view(state.place_home_BGC), view(state.score_home_BGC)});
  }
  return first;
}

int64_t DecodeRows::bytes() const {
  int64_t bytes = 0;
  for (const auto& state : caches_) bytes += state.home_bytes();
  return bytes;
}

void DecodeRows::compress_above(int64_t slots, DecodeCursor& cursor) {
  if (!config_.compresses()) return;
  const auto full = [&](int64_t row) { return state(row).size > slots; };
  const auto alike = [&](int64_t a, int64_t b) {
    const bool moves_alike = config_.positions == PositionKind::kSlot || state(a) == state(b);
    return state(a).size == state(b).size && moves_alike;
  };
  for (const RowRun& run : equal_runs(static_cast<int64_t>(rows_.size()), full, alike))
    compress_run(run, cursor);
}

void DecodeRows::compress_run(const RowRun& run, DecodeCursor& cursor) {
  RunWork& work = work_of(run);
  const RowState at = state(run.first);
  const int64_t size = at.size, origin = config_.frame_origin(at.position);
  if (config_.positions == PositionKind::kText) work.shift.fill_(origin - at.origin);
  const auto compress = [&] {
    for (size_t n = 0; n < work.states.size(); ++n)
      compress_layer(work.states[n], n, size, work.shift);
  };
  // Sizes that come again: of decoding, and of prompts of whole blocks.
  const bool comes_again =
      size == config_.slots + decode_buffer_ + 1 || size == config_.slots + config_.block;
  if (comes_again) {
    work.compressions[size].run(record_, compress);
  } else {
    compress();
  }
  for (int64_t row = run.first; row < run.first + run.count; ++row) {
    state(row).size = config_.slots;
    state(row).origin = origin;
    cursor.moved(row);
  }
}

void DecodeRows::compress_layer(CacheState& state, size_t n, int64_t size,
                                const torch::Tensor& shift) const {
  state.use_home(size);
  auto result = model_->model->layers[n]->self_attn->memory_saver->compress(state);
  // Masses of the last block alone: the count begins anew.
  if (result.mass_BGS.defined() && config_.scores == ScoreKind::kLastBlock) result.mass_BGS.zero_();
  if (shift.defined()) result.place_BGS = (result.place_BGS - shift).clamp_min(0);
  state.put_into_home(result);
}

RowsSnapshot DecodeRows::save() {
  RowsSnapshot saved;
  saved.rows = rows_;
  if (!config_.compresses()) {
    saved.mark = ++last_mark_;
    marks_.push_back(saved.mark);
    return saved;
  }
  int64_t slots = 0;
  for (const RowState& row : rows_) slots = std::max(slots, row.size);
  for (const auto& state : caches_) saved.caches.push_back(state.copy_of_home(slots));
  return saved;
}

void DecodeRows::restore(const RowsSnapshot& snapshot) {
  const size_t copies = config_.compresses() ? caches_.size() : 0;
  TORCH_CHECK(snapshot.rows.size() == rows_.size() && snapshot.caches.size() == copies,
              "the snapshot is of another decoder");
  for (size_t n = 0; n < copies; ++n) caches_[n].put_into_home(snapshot.caches[n]);
  if (!config_.compresses()) {
    const auto mark = std::find(marks_.begin(), marks_.end(), snapshot.mark);
    TORCH_CHECK(mark != marks_.end(), "slots of the snapshot have been written over");
    marks_.erase(mark + 1, marks_.end());
  }
  rows_ = snapshot.rows;
}

}  // namespace lococo
