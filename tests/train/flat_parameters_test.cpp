#include "train/flat_parameters.h"

#include "tensor/kit/torch.h"
#include "tests/support/catch.h"

namespace lococo {
namespace {

constexpr int64_t kChunk = FlatParameters::kChunk;

RegisteredParameter parameter(const std::string& name, torch::IntArrayRef shape) {
  RegisteredParameter made;
  made.name = name;
  made.tensor = torch::randn(shape).set_requires_grad(true);
  made.trainable = true;
  return made;
}

// Nine chunks: less than one, one, one and a bit, five.
std::vector<RegisteredParameter> unlike_parameters() {
  torch::manual_seed(1);
  return {parameter("scale", {}), parameter("bias", {kChunk}), parameter("norm", {kChunk + 1}),
          parameter("weight", {5, kChunk})};
}

std::vector<torch::Tensor> values_of(const std::vector<RegisteredParameter>& parameters) {
  std::vector<torch::Tensor> values;
  for (const auto& one : parameters) values.push_back(one.tensor.detach().clone());
  return values;
}

}  // namespace

TEST_CASE("Parameters that have become flat keep handle, shape and values", "[train][flat]") {
  const auto start = unlike_parameters();
  const auto before = values_of(start);
  FlatParameters flat(start, 2);
  CHECK(flat.chunks() == 9);
  CHECK(flat.part_length() == 5 * kChunk);
  for (size_t i = 0; i < start.size(); ++i) {
    const torch::Tensor& tensor = start[i].tensor;  // the handle that was given
    CHECK(torch::equal(tensor, before[i]));
    CHECK(tensor.is_leaf());
    CHECK(tensor.is_alias_of(flat.weights()));
    CHECK(tensor.grad().is_alias_of(flat.gradients()));
    CHECK(tensor.grad().sizes() == tensor.sizes());
  }
  flat.check_in_place();
}

TEST_CASE("A backward pass adds to the flat gradients and to nothing else", "[train][flat]") {
  const auto start = unlike_parameters();
  FlatParameters flat(start, 3);
  for (int round = 0; round < 2; ++round) {
    torch::Tensor sum = torch::zeros({});
    for (const auto& one : start) sum = sum + 2 * one.tensor.sum();
    sum.backward();
  }
  int64_t elements = 0;
  for (const auto& one : start) {
    CHECK(one.tensor.grad().min().item<float>() == 4.0f);
    elements += one.tensor.numel();
  }
  CHECK(flat.gradients().sum().item<double>() == 4.0 * static_cast<double>(elements));
  flat.check_in_place();
  torch::Tensor(start[2].tensor).mutable_grad() = torch::zeros({kChunk + 1});
  CHECK_THROWS(flat.check_in_place());
}

TEST_CASE("The parts' slices of a parameter are the whole of it, and views", "[train][flat]") {
  const int64_t parts = GENERATE(1, 2, 3, 4, 9, 20);
  const auto start = unlike_parameters();
  FlatParameters flat(start, parts);
  CHECK(flat.weights().numel() == parts * flat.part_length());
  CHECK(flat.part_length() % kChunk == 0);
  std::vector<std::vector<torch::Tensor>> pieces(start.size());
  for (int64_t part = 0; part < parts; ++part) {
    const torch::Tensor own = flat.part(flat.weights(), part);
    for (const FlatSlice& slice : flat.slices(part)) {
      const RegisteredParameter view = flat.view(slice);
      CHECK(view.name == start[slice.parameter].name);
      CHECK(view.tensor.numel() == slice.length);
      CHECK(view.tensor.grad().numel() == slice.length);
      CHECK(view.tensor.const_data_ptr<float>() >= own.const_data_ptr<float>());
      CHECK(view.tensor.const_data_ptr<float>() + slice.length <=
            own.const_data_ptr<float>() + own.numel());
      pieces[slice.parameter].push_back(view.tensor.detach().flatten());
    }
  }
  for (size_t i = 0; i < start.size(); ++i)
    CHECK(torch::equal(torch::cat(pieces[i]), start[i].tensor.detach().flatten()));
}

TEST_CASE("A parameter that lies in one part keeps its shape there", "[train][flat]") {
  FlatParameters flat(unlike_parameters(), 1);
  for (const FlatSlice& slice : flat.slices(0)) {
    const auto view = flat.view(slice);
    CHECK(view.tensor.sizes() == flat.parameters()[slice.parameter].tensor.sizes());
    CHECK((view.tensor.is_leaf() && view.tensor.requires_grad()));
  }
}

}  // namespace lococo
