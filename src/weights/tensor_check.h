// Tells the user in one line everything that does not fit between a file's tensors and a model's
// parameters.
#pragma once

#include <torch/types.h>

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "core/safetensors.h"
#include "tensor/kit/safetensors_tensor.h"

namespace lococo {

/// Collects the differences and throws them together.
class TensorCheck {
 public:
  void missing(const std::string& name) { missing_.push_back(name); }
  void unknown(const std::string& name) { unknown_.push_back(name); }

  /// Notes a view that cannot fill `parameter`: another shape, or values that are not floating
  /// point. Returns whether it fits.
  bool compare(const std::string& name, const TensorView& view, const torch::Tensor& parameter);

  /// Notes every view without a parameter, every parameter without a view, and every pair that does
  /// not fit.
  void compare_all(const std::map<std::string, TensorView>& views, const TensorMap& parameters);

  /// Throws UserError("WHERE: 2 tensors are missing (a, b); ...; REMEDY") if anything was noted.
  void throw_if_any(const std::string& where, const std::string& remedy) const;

 private:
  std::vector<std::string> missing_;
  std::vector<std::string> unknown_;
  std::vector<std::string> misshapen_;
  std::vector<std::string> not_float_;
};

/// Says where a tensor came from.
using FileOf = std::function<std::string(const std::string& name)>;

/// Throws UserError("FILE: tensor NAME holds values that are not finite ...") when one does;
/// `file_of` says where a tensor came from. One wait for the device.
void refuse_non_finite(const TensorMap& tensors, const FileOf& file_of);

/// Copies into each parameter the view of its name, converted to its dtype and device; no gradient.
/// Then refuses values that are not finite.
void copy_all(const TensorMap& parameters, const std::map<std::string, TensorView>& views,
              const FileOf& file_of);

}  // namespace lococo
