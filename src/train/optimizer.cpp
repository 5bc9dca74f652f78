#include "train/optimizer.h"

#include <algorithm>
#include <iterator>
#include <set>
#include <sstream>
#include <utility>

#include "core/error.h"
#include "tensor/kit/torch.h"

namespace lococo {
namespace {

std::string shape_text(torch::IntArrayRef sizes, torch::ScalarType type) {
  std::ostringstream text;
  text << sizes << " " << type;
  return text.str();
}

}  // namespace

AdamW::AdamW(std::vector<RegisteredParameter> trainable, const TrainConfig& config, AdamWPath path)
    : parameters_(std::move(trainable)),
      beta1_(config.beta1),
      beta2_(config.beta2),
      epsilon_(config.epsilon),
      path_(path) {
  std::set<std::string> names;
  for (size_t i = 0; i < parameters_.size(); ++i) {
    const RegisteredParameter& parameter = parameters_[i];
    const torch::Tensor& tensor = parameter.tensor;
    TORCH_CHECK(tensor.is_leaf() && tensor.requires_grad() && tensor.is_contiguous() &&
                    tensor.scalar_type() == torch::kFloat32,
                parameter.name, ": a trained parameter is a contiguous float32 leaf");
    TORCH_CHECK(names.insert(parameter.name).second, parameter.name, ": registered twice");
    moments_.push_back({torch::zeros_like(tensor.detach()), torch::zeros_like(tensor.detach()),
                        torch::zeros({}, tensor.options().requires_grad(false))});
    auto group = std::find_if(groups_.begin(), groups_.end(), [&](const Group& candidate) {
      return candidate.learning_rate == parameter.learning_rate &&
             candidate.weight_decay == parameter.weight_decay &&
             candidate.device == tensor.device();
    });
    if (group == groups_.end()) {
      groups_.push_back({parameter.learning_rate, parameter.weight_decay, tensor.device(), {}});
      group = std::prev(groups_.end());
    }
    group->members.push_back(i);
  }
}

std::vector<size_t> AdamW::with_gradient(const Group& group) const {
  std::vector<size_t> members;
  for (size_t i : group.members) {
    if (parameters_[i].tensor.grad().defined()) members.push_back(i);
  }
  return members;
}

void AdamW::step(double lr_factor) {
  torch::NoGradGuard no_grad;
  for (const Group& group : groups_) {
    if (path_ == AdamWPath::kFused) {
      step_fused(group, lr_factor);
    } else {
      step_reference(group, lr_factor);
    }
  }
}

void AdamW::step_fused(const Group& group, double lr_factor) {
  std::vector<torch::Tensor> weights, gradients, m, v, steps;
  for (size_t i : with_gradient(group)) {
    weights.push_back(parameters_[i].tensor);
    gradients.push_back(parameters_[i].tensor.grad().contiguous());  // the kernel reads it flat
    m.push_back(moments_[i].m);
    v.push_back(moments_[i].v);
    steps.push_back(moments_[i].step);
  }
  if (weights.empty()) return;
  at::_foreach_add_(steps, 1);
  at::_fused_adamw_(weights, gradients, m, v, /*max_exp_avg_sqs=*/{}, steps,
                    group.learning_rate * lr_factor, beta1_, beta2_, group.weight_decay, epsilon_,
                    /*amsgrad=*/false, /*maximize=*/false);
}

void AdamW::step_reference(const Group& group, double lr_factor) {
  const double lr = group.learning_rate * lr_factor;
  for (size_t i : with_gradient(group)) {
    torch::Tensor weight = parameters_[i].tensor;
    const torch::Tensor gradient = weight.grad();
    auto& [m, v, step] = moments_[i];
    step += 1;
    m.mul_(beta1_).add_(gradient, 1 - beta1_);
    v.mul_(beta2_).addcmul_(gradient, gradient, 1 - beta2_);
    const torch::Tensor correction1 = 1 - torch::pow(beta1_, step.to(torch::kFloat64));
    const torch::Tensor correction2 = 1 - torch::pow(beta2_, step.to(torch::kFloat64));
    const torch::Tensor update = (m / correction1) / ((v / correction2).sqrt() + epsilon_);
    weight.mul_(1 - lr * group.weight_decay);
    weight.sub_(lr * update);
  }
}

std::map<std::string, torch::Tensor> AdamW::state() const {
  std::map<std::string, torch::Tensor> state;
  for (size_t i = 0; i < parameters_.size(); ++i) {
    state[parameters_[i].name + ".m"] = moments_[i].m;
    state[parameters_[i].name + ".v"] = moments_[i].v;
    state[parameters_[i].name + ".step"] = moments_[i].step;
  }
  return state;
}

void AdamW::load_state(const std::map<std::string, torch::Tensor>& state) {
  torch::NoGradGuard no_grad;
  check_adamw_state(parameters_, state);
  for (const auto& [name, tensor] : this->state()) torch::Tensor(tensor).copy_(state.at(name));
}

void check_adamw_state(const std::vector<RegisteredParameter>& parameters,
                       const std::map<std::string, torch::Tensor>& state) {
  std::map<std::string, std::vector<int64_t>> own;
  for (const RegisteredParameter& parameter : parameters) {
    own[parameter.name + ".m"] = own[parameter.name + ".v"] = parameter.tensor.sizes().vec();
    own[parameter.name + ".step"] = {};
  }
  for (const auto& [name, shape] : own) {
    const auto found = state.find(name);
    if (found == state.end()) {
      throw UserError("optimizer state: " + name +
                      " is missing; resume with the `tune` section that the checkpoint was "
                      "written with, or start with train.resume: never");
    }
    if (found->second.sizes() != shape || found->second.scalar_type() != torch::kFloat32) {
      throw UserError("optimizer state: " + name + " is " +
                      shape_text(found->second.sizes(), found->second.scalar_type()) +
                      ", but this model needs " + shape_text(shape, torch::kFloat32) +
                      "; the checkpoint belongs to another model or `tune` section");
    }
  }
  for (const auto& [name, tensor] : state) {
    if (own.count(name) == 0) {
      throw UserError("optimizer state: " + name +
                      " belongs to no trained parameter; resume with the `tune` section that the "
                      "checkpoint was written with");
    }
  }
}

}  // namespace lococo
