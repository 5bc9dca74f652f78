#include "pipeline/pipeline.h"

#include <string>

#include "core/error.h"
#include "tensor/kit/torch.h"

namespace lococo {

GridPlace place_in_grid(int64_t stages, int rank, int ranks) {
  if (ranks % stages != 0) {
    throw UserError("distributed.pipeline: " + std::to_string(stages) +
                    " stages need a multiple of " + std::to_string(stages) + " ranks, and there " +
                    (ranks == 1 ? "is 1" : "are " + std::to_string(ranks)) +
                    "; start with mpirun -np " + std::to_string((ranks / stages + 1) * stages) +
                    ", or set distributed.pipeline=1");
  }
  GridPlace place;
  place.stages = static_cast<int>(stages);
  place.replicas = ranks / place.stages;
  place.stage = rank % place.stages;
  place.replica = rank / place.stages;
  return place;
}

WorkShare share_of(const Communicator& world, const Pipeline* pipeline) {
  if (pipeline == nullptr) return {world.rank(), world.size()};
  const GridPlace& place = pipeline->place();
  return {place.replica, place.replicas, place.is_last()};
}

std::optional<LayerRange> part_of(const Pipeline* pipeline) {
  return pipeline == nullptr ? std::nullopt : std::optional(pipeline->part());
}

Pipeline::Pipeline(const GridPlace& place, const LayerRange& part, Communicator& world,
                   torch::Device device)
    : place_(place),
      part_(part),
      replicas_(world.split(place.stage)),
      stages_(world.split(place.replica)),
      on_(stages_->open_channel("stage")),
      back_(stages_->open_channel("stage")) {
  connect(device);
}

std::unique_ptr<Message> Pipeline::send_on(const torch::Tensor& hidden) {
  return on_->send(hidden, place_.stage + 1);
}
std::unique_ptr<Message> Pipeline::receive_from_before(torch::Tensor& hidden) {
  return on_->receive(hidden, place_.stage - 1);
}
std::unique_ptr<Message> Pipeline::send_back(const torch::Tensor& gradient) {
  return back_->send(gradient, place_.stage - 1);
}
std::unique_ptr<Message> Pipeline::receive_from_next(torch::Tensor& gradient) {
  return back_->receive(gradient, place_.stage + 1);
}

// Two ranks connect at their first message, which waits for both: better here, one pair after the
// other, than in the middle of a step.
void Pipeline::connect(torch::Device device) {
  auto word = torch::zeros({1}, torch::device(device));
  if (!place_.is_first()) receive_from_before(word)->wait();
  if (!place_.is_last()) send_on(word)->wait();
  if (!place_.is_last()) receive_from_next(word)->wait();
  if (!place_.is_first()) send_back(word)->wait();
}

}  // namespace lococo
