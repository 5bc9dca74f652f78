#include "tensor/layers/frozen_linear.h"

#include <torch/csrc/autograd/custom_function.h>

#include "tensor/kit/matmul.h"

namespace lococo {
namespace {

using torch::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

Tensor wide_mm(const Tensor& a, const Tensor& b) {
  return a.scalar_type() == torch::kFloat64 ? torch::mm(a, b) : matmul_f32(a, b);
}

/// What a forward and its backward pass share. The R columns of each projection's low-rank part lie
/// side by side: low_XR = x A' for all projections at once.
struct Parts {
  Tensor x_XE;  ///< defined only with LoRA
  std::vector<FrozenMatrix> weights_OE;
  Tensor a_RE;               ///< all factors A below each other, in the dtype of x
  std::vector<Tensor> b_OR;  ///< in the dtype of x
  Tensor low_XR;
  double scale = 0.0;

  bool has_lora() const { return !b_OR.empty(); }
  int64_t rank() const { return b_OR.front().size(1); }
  Tensor slice(const Tensor& all_XR, size_t i) const {
    return all_XR.narrow(/*dim=*/1, static_cast<int64_t>(i) * rank(), rank());
  }
};

std::vector<Tensor> project(const Tensor& x_XE, const Parts& parts) {
  auto outputs = products(parts.weights_OE, x_XE);
  if (!parts.has_lora()) return outputs;
  for (size_t i = 0; i < outputs.size(); ++i)
    outputs[i].addmm_(parts.slice(parts.low_XR, i), parts.b_OR[i].t(), 1, parts.scale);
  return outputs;
}

Parts make_parts(const Tensor& x_XE, const std::vector<FrozenMatrix>& weights, at::TensorList a,
                 at::TensorList b, double scale) {
  Parts parts;
  parts.weights_OE = weights;
  parts.scale = scale;
  if (a.empty()) return parts;
  const auto dtype = x_XE.scalar_type();
  parts.x_XE = x_XE;
  parts.a_RE = (a.size() == 1 ? a[0] : torch::cat(a)).to(dtype);
  for (const auto& factor : b) parts.b_OR.push_back(factor.to(dtype));
  parts.low_XR = torch::mm(x_XE, parts.a_RE.t());
  return parts;
}

/// scale * dy_i B_i for all projections side by side; zero where an output has no gradient.
Tensor low_rank_gradient(const Parts& parts, const std::vector<Tensor>& dy_XO) {
  auto low_XR = torch::zeros_like(parts.low_XR);
  for (size_t i = 0; i < dy_XO.size(); ++i) {
    if (!dy_XO[i].defined()) continue;
    parts.slice(low_XR, i).addmm_(dy_XO[i], parts.b_OR[i], /*beta=*/0, parts.scale);
  }
  return low_XR;
}

Tensor input_gradient(const Parts& parts, const std::vector<Tensor>& dy_XO, const Tensor& low_XR) {
  Tensor dx_XE;
  for (size_t i = 0; i < dy_XO.size(); ++i) {
    if (!dy_XO[i].defined()) continue;
    if (dx_XE.defined()) {
      parts.weights_OE[i].add_input_gradient(dx_XE, dy_XO[i]);
    } else {
      dx_XE = parts.weights_OE[i].input_gradient(dy_XO[i]);
    }
  }
  if (parts.has_lora() && dx_XE.defined()) dx_XE.addmm_(low_XR, parts.a_RE);
  return dx_XE;
}

struct FrozenFunction : torch::autograd::Function<FrozenFunction> {
  static variable_list forward(AutogradContext* context, const Tensor& x,
                               const std::vector<FrozenMatrix>& weights, at::TensorList a,
                               at::TensorList b, double scale) {
    const auto x_XE = x.reshape({-1, x.size(-1)});
    const auto parts = make_parts(x_XE, weights, a, b, scale);
    variable_list saved = parts.b_OR;
    if (parts.has_lora()) saved.insert(saved.end(), {parts.x_XE, parts.a_RE, parts.low_XR});
    context->save_for_backward(saved);
    context->set_materialize_grads(false);
    context->saved_data["weights"] = keep_matrices(weights);
    context->saved_data["scale"] = scale;
    context->saved_data["x_needs_gradient"] = x.requires_grad();
    context->saved_data["sizes"] = x.sizes().vec();
    variable_list outputs = project(x_XE, parts);
    auto sizes = x.sizes().vec();
    for (auto& y : outputs) {
      sizes.back() = y.size(1);
      y = y.view(sizes);
    }
    return outputs;
  }

  static Parts restore(AutogradContext* context) {
    const auto saved = context->get_saved_variables();
    Parts parts;
    parts.scale = context->saved_data["scale"].toDouble();
    parts.weights_OE = kept_matrices(context->saved_data["weights"]);
    if (saved.empty()) return parts;
    const size_t count = parts.weights_OE.size();
    parts.b_OR.assign(saved.begin(), saved.begin() + static_cast<int64_t>(count));
    parts.x_XE = saved[count];
    parts.a_RE = saved[count + 1];
    parts.low_XR = saved[count + 2];
    return parts;
  }

  static variable_list backward(AutogradContext* context, variable_list output_gradients) {
    const auto parts = restore(context);
    std::vector<Tensor> dy_XO;
    for (const auto& gradient : output_gradients) {
      dy_XO.push_back(gradient.defined() ? gradient.reshape({-1, gradient.size(-1)}) : Tensor());
    }
    const size_t count = dy_XO.size();
    variable_list a_gradients(parts.has_lora() ? count : 0), b_gradients(a_gradients.size());
    Tensor low_gradient_XR;
    if (parts.has_lora()) {
      low_gradient_XR = low_rank_gradient(parts, dy_XO);
      const auto all_a = wide_mm(low_gradient_XR.t(), parts.x_XE);
      const auto scaled_low_XR = parts.low_XR * parts.scale;
      for (size_t i = 0; i < count; ++i) {
        if (!dy_XO[i].defined()) continue;
        const int64_t R = parts.rank();
        a_gradients[i] = all_a.narrow(/*dim=*/0, static_cast<int64_t>(i) * R, R);
        b_gradients[i] = wide_mm(dy_XO[i].t(), parts.slice(scaled_low_XR, i));
      }
    }
    variable_list result(1);
    if (context->saved_data["x_needs_gradient"].toBool()) {
      const auto dx = input_gradient(parts, dy_XO, low_gradient_XR);
      if (dx.defined()) result[0] = dx.view(context->saved_data["sizes"].toIntVector());
    }
    result.resize(2);  // the weights are frozen
    result.insert(result.end(), a_gradients.begin(), a_gradients.end());
    result.insert(result.end(), b_gradients.begin(), b_gradients.end());
    result.emplace_back();  // scale
    return result;
  }
};

bool any_requires_grad(const Tensor& x, const FrozenProjections& projections) {
  bool any = x.requires_grad();
  for (const auto& a : projections.a_RE) any = any || a.requires_grad();
  for (const auto& b : projections.b_OR) any = any || b.requires_grad();
  return any;
}

}  // namespace

std::vector<Tensor> frozen_projections(const Tensor& x, const FrozenProjections& projections) {
  const size_t count = projections.weights_OE.size();
  TORCH_CHECK(count > 0 && projections.a_RE.size() == projections.b_OR.size(),
              "a projection has both low-rank factors or none");
  TORCH_CHECK(projections.a_RE.empty() || projections.a_RE.size() == count,
              "all projections of one input have LoRA, or none has");
  if (torch::GradMode::is_enabled() && any_requires_grad(x, projections)) {
    return FrozenFunction::apply(x, projections.weights_OE, at::TensorList(projections.a_RE),
                                 at::TensorList(projections.b_OR), projections.scale);
  }
  torch::NoGradGuard no_grad;
  const auto x_XE = x.reshape({-1, x.size(-1)});
  auto outputs = project(x_XE, make_parts(x_XE, projections.weights_OE, projections.a_RE,
                                          projections.b_OR, projections.scale));
  auto sizes = x.sizes().vec();
  for (auto& y : outputs) {
    sizes.back() = y.size(1);
    y = y.view(sizes);
  }
  return outputs;
}

}  // namespace lococo
