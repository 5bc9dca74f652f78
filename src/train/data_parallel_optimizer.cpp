#include "train/data_parallel_optimizer.h"

#include <algorithm>
#include <utility>

#include "dist/activity.h"
#include "tensor/kit/finite.h"
#include "tensor/kit/torch.h"

namespace lococo {

DataParallelOptimizer::DataParallelOptimizer(std::vector<RegisteredParameter> trainable,
                                             const TrainConfig& config, Communicator& communicator,
                                             bool shard, Communicator* stages)
    : communicator_(communicator),
      stages_(stages),
      sharded_(shard && communicator.size() > 1),
      flat_(std::move(trainable), sharded_ ? communicator.size() : 1),
      owners_(flat_.parameters().size()),
      adamw_(updated_here(), config) {
  if (!sharded_) return;
  for (int rank = 0; rank < communicator.size(); ++rank) {
    for (const FlatSlice& slice : flat_.slices(rank))
      owners_[slice.parameter].push_back({rank, slice});
  }
}

std::vector<RegisteredParameter> DataParallelOptimizer::updated_here() const {
  if (!sharded_) return flat_.parameters();
  std::vector<RegisteredParameter> updated;
  for (const FlatSlice& slice : flat_.slices(communicator_.rank()))
    updated.push_back(flat_.view(slice));
  return updated;
}

void DataParallelOptimizer::zero_grad() { flat_.gradients().zero_(); }

void DataParallelOptimizer::sum_gradients(std::vector<torch::Tensor> beside) {
  const Doing doing("gradients");
  flat_.check_in_place();
  if (sharded_) {
    communicator_.reduce_scatter_sum(flat_.gradients());
  } else {
    beside.insert(beside.begin(), flat_.gradients());
  }
  communicator_.all_reduce_sum(beside);
}

torch::Tensor DataParallelOptimizer::own_gradients() {
  return sharded_ ? flat_.part(flat_.gradients(), communicator_.rank()) : flat_.gradients();
}

torch::Tensor DataParallelOptimizer::gradient_norm() {
  const Doing doing("norm of gradients");
  // One float32 norm a chunk, then a sum of far fewer numbers in double.
  constexpr int64_t kChunk = FlatParameters::kChunk;
  torch::Tensor norms = at::linalg_vector_norm(own_gradients().view({-1, kChunk}), 2, {1});
  if (sharded_) {
    const int64_t own = norms.numel();
    torch::Tensor all = torch::empty({own * communicator_.size()}, norms.options());
    all.narrow(0, own * communicator_.rank(), own).copy_(norms);
    communicator_.all_gather(all);
    norms = all;
  }
  // Chunks that only fill the last part depend on the number of parts.
  const auto norm = norms.narrow(0, 0, flat_.chunks()).to(torch::kFloat64).norm();
  if (stages_ == nullptr) return norm.to(torch::kFloat32);
  // Each in a place of its own: squares would be rounded to float32 before they are summed.
  std::vector<torch::Tensor> of_stages = {torch::zeros({stages_->size()}, norms.options())};
  of_stages[0][stages_->rank()] = norm;
  stages_->all_reduce_sum(of_stages);
  return of_stages[0].to(torch::kFloat64).norm().to(torch::kFloat32);
}

torch::Tensor DataParallelOptimizer::scale_and_clip(double divisor, double max_norm) {
  const torch::NoGradGuard no_grad;
  own_gradients().div_(divisor);
  const torch::Tensor norm = gradient_norm();
  if (max_norm > 0) own_gradients().mul_((max_norm / (norm + 1e-6)).clamp_max(1.0));
  return norm;
}

void DataParallelOptimizer::step(double lr_factor) {
  flat_.check_in_place();
  adamw_.step(lr_factor);
  const Doing doing("new weights");
  if (sharded_) communicator_.all_gather(flat_.weights());
}

std::vector<DataParallelOptimizer::StateName> DataParallelOptimizer::state_names() const {
  std::vector<StateName> names;
  for (size_t i = 0; i < flat_.parameters().size(); ++i) {
    const std::string& name = flat_.parameters()[i].name;
    names.push_back({name + ".m", i});
    names.push_back({name + ".v", i});
    names.push_back({name + ".step", i, /*is_step=*/true});
  }
  std::sort(names.begin(), names.end(),
            [](const StateName& a, const StateName& b) { return a.name < b.name; });
  return names;
}

StateToSave DataParallelOptimizer::state_to_save() {
  const TensorMap own = adamw_.state();
  if (!sharded_) return communicator_.is_main() ? lococo::state_to_save(own) : StateToSave();
  const auto names = state_names();
  StateToSave saved;
  std::vector<torch::Tensor> tensors;
  std::vector<int64_t> places;
  for (size_t i = 0; i < names.size(); ++i) {
    const auto shape = flat_.parameters()[names[i].parameter].tensor.sizes().vec();
    saved.tensors.push_back({names[i].name, names[i].is_step ? std::vector<int64_t>() : shape});
    const auto found = own.find(names[i].name);
    if (found == own.end()) continue;
    tensors.push_back(found->second);
    places.push_back(static_cast<int64_t>(i));
  }
  const auto bad = first_non_finite(tensors);
  const int64_t place = communicator_.all_reduce_max_int(bad ? places[*bad] : -1);
  if (place >= 0) saved.not_finite = names[static_cast<size_t>(place)].name;
  saved.fetch = [this, names, own](size_t i) {
    // Rank 0 writes the weights before and each tensor between, longer than NCCL may wait.
    communicator_.barrier();
    return gather(names[i], own);
  };
  return saved;
}

torch::Tensor DataParallelOptimizer::gather(const StateName& wanted, const TensorMap& own) {
  const torch::NoGradGuard no_grad;
  const torch::Tensor& parameter = flat_.parameters()[wanted.parameter].tensor;
  torch::Tensor whole;
  if (communicator_.is_main())
    whole = wanted.is_step ? torch::empty({}) : torch::empty(parameter.sizes());
  for (const auto& [rank, slice] : owners_[wanted.parameter]) {
    const int64_t length = wanted.is_step ? 1 : slice.length;
    torch::Tensor row = rank == communicator_.rank()
                            ? own.at(wanted.name).view({-1})
                            : torch::empty({length}, flat_.weights().options());
    communicator_.broadcast(row, rank);
    if (whole.defined())
      whole.view({-1}).narrow(0, wanted.is_step ? 0 : slice.begin, length).copy_(row);
    if (wanted.is_step) break;  // all owners count the same steps
  }
  return whole;
}

void DataParallelOptimizer::hand_over(const StateToSave& state) {
  for (size_t i = 0; i < state.tensors.size(); ++i) state.fetch(i);
}

void DataParallelOptimizer::load_state(const TensorMap& whole) {
  if (!sharded_) return adamw_.load_state(whole);
  check_adamw_state(flat_.parameters(), whole);
  TensorMap own;
  for (const FlatSlice& slice : flat_.slices(communicator_.rank())) {
    const RegisteredParameter view = flat_.view(slice);
    for (const char* moment : {".m", ".v"}) {
      const torch::Tensor row = whole.at(view.name + moment).reshape({-1});
      own[view.name + moment] = row.narrow(0, slice.begin, slice.length).view(view.tensor.sizes());
    }
    own[view.name + ".step"] = whole.at(view.name + ".step");
  }
  adamw_.load_state(own);
}

}  // namespace lococo
