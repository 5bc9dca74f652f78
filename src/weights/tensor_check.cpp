#include "weights/tensor_check.h"

#include <iterator>

#include "core/error.h"
#include "core/progress_count.h"
#include "tensor/kit/finite.h"
#include "tensor/kit/safetensors_tensor.h"
#include "tensor/kit/torch.h"

namespace lococo {
namespace {

std::string shape_text(at::IntArrayRef shape) {
  std::string text = "[";
  for (size_t i = 0; i < shape.size(); ++i) {
    text += (i > 0 ? ", " : "") + std::to_string(shape[i]);
  }
  return text + "]";
}

void append(std::string* line, const std::vector<std::string>& names, const char* what) {
  constexpr size_t kMostNames = 10;
  if (names.empty()) return;
  *line += line->empty() ? "" : "; ";
  *line += std::to_string(names.size()) + (names.size() == 1 ? " tensor " : " tensors ") + what;
  *line += " (";
  for (size_t i = 0; i < names.size() && i < kMostNames; ++i) {
    *line += (i > 0 ? ", " : "") + names[i];
  }
  *line += names.size() > kMostNames ? ", ...)" : ")";
}

}  // namespace

bool TensorCheck::compare(const std::string& name, const TensorView& view,
                          const torch::Tensor& parameter) {
  if (parameter.sizes() != at::IntArrayRef(view.shape)) {
    misshapen_.push_back(name + ": " + shape_text(view.shape) + " in the file, " +
                         shape_text(parameter.sizes()) + " in the model");
    return false;
  }
  const bool is_float = view.dtype == FileDType::kFloat32 || view.dtype == FileDType::kFloat16 ||
                        view.dtype == FileDType::kBFloat16;
  if (!is_float) not_float_.push_back(name + ": " + name_of(view.dtype));
  return is_float;
}

void TensorCheck::compare_all(const std::map<std::string, TensorView>& views,
                              const TensorMap& parameters) {
  for (const auto& [name, view] : views) {
    const auto found = parameters.find(name);
    if (found == parameters.end()) {
      unknown(name);
    } else {
      compare(name, view, found->second);
    }
  }
  for (const auto& [name, parameter] : parameters) {
    if (views.count(name) == 0) missing(name);
  }
}

void TensorCheck::throw_if_any(const std::string& where, const std::string& remedy) const {
  std::string line;
  append(&line, missing_, "missing");
  append(&line, unknown_, "unknown");
  append(&line, misshapen_, "of another shape");
  append(&line, not_float_, "not in F32, F16 or BF16");
  if (!line.empty()) throw UserError(where + ": " + line + "; " + remedy);
}

void refuse_non_finite(const TensorMap& tensors, const FileOf& file_of) {
  std::vector<torch::Tensor> list;
  for (const auto& [name, tensor] : tensors) list.push_back(tensor);
  const auto found = first_non_finite(list);
  if (!found) return;
  const std::string& name = std::next(tensors.begin(), static_cast<int64_t>(*found))->first;
  throw UserError(file_of(name) + ": tensor " + name +
                  " holds values that are not finite (NaN or infinity); the file is damaged or "
                  "comes from a training that failed, use another");
}

void copy_all(const TensorMap& parameters, const std::map<std::string, TensorView>& views,
              const FileOf& file_of) {
  const torch::NoGradGuard no_grad;
  for (const auto& [name, parameter] : parameters) {
    torch::Tensor target = parameter;
    target.copy_(borrow_tensor(views.at(name)));
    note_progress();
  }
  refuse_non_finite(parameters, file_of);
}

}  // namespace lococo
