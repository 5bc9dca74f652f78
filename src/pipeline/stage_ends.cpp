#include "pipeline/stage_ends.h"

#include "tensor/kit/torch.h"

namespace lococo {

StageEnds::StageEnds(const Llama& model, std::shared_ptr<StageLine> line, int64_t rows,
                     int64_t tokens, torch::Device device)
    : line_(std::move(line)), tokens_(tokens), width_(model->shape().hidden_size) {
  const LayerRange& part = model->range();
  TORCH_CHECK(part.is_whole() || line_, "a part of a model needs a line to the others");
  const auto options = torch::dtype(model->compute_dtype()).device(device);
  if (!part.begins_model()) entering_ = torch::zeros({rows * tokens * width_}, options);
  if (!part.ends_model()) leaving_ = torch::zeros({rows * tokens * width_}, options);
}

/// Contiguous, as messages are; of the whole `tokens` and of one always in one place.
torch::Tensor StageEnds::part_of(const torch::Tensor& flat, int64_t first, int64_t count,
                                 int64_t L) const {
  return flat.narrow(/*dim=*/0, first * tokens_ * width_, count * L * width_)
      .view({count, L, width_});
}

torch::Tensor StageEnds::entering(int64_t first, int64_t count, int64_t L) const {
  return part_of(entering_, first, count, L);
}

torch::Tensor StageEnds::leaving(int64_t first, int64_t count, int64_t L) const {
  return part_of(leaving_, first, count, L);
}

void StageEnds::receive(int64_t first, int64_t count, int64_t L) const {
  if (!entering_.defined()) return;
  auto hidden_BLE = entering(first, count, L);
  line_->receive(hidden_BLE);
}

void StageEnds::send(int64_t first, int64_t count, int64_t L) const {
  if (leaving_.defined()) line_->send(leaving(first, count, L));
}

torch::Tensor StageEnds::shared(torch::Tensor own) const {
  if (line_) line_->share(own);
  return own;
}

void StageEnds::meet() const {
  if (line_) line_->meet();
}

}  // namespace lococo
